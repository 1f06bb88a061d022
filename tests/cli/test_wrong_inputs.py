"""Wrong inputs of the whole command line: one line, exit code 2, what is allowed or what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.samples import ROOT

pytestmark = pytest.mark.xdist_group("run")

SPACE = ROOT / "search_spaces" / "mobilenetv2-small.yaml"
RESULT = ROOT / "results" / "mobilenetv2-cifar" / "cifar10-scratch" / "epyc-onnxruntime"

_WAY_OUT = r"allowed|known|see: |name |write |there are|nas |needed|no trial|not |leave "

WRONG: tuple[tuple[str, str], ...] = (
    # No such command, argument or option.
    ("inti", "No such command 'inti'"),
    ("profile SPACE", "Missing option '--out'"),
    ("front", "Missing argument"),
    ("show RESULT", "Missing argument 'trial'"),
    ("show RESULT first", "trial: found 'first'; allowed: a whole number"),
    ("export RESULT 0 --too onnx", "No such option: --too"),
    ("report RESULT --port many", "--port: found 'many'; allowed: a whole number from 0 to 65535"),
    ("profile adb", "Missing argument 'pack'"),
    # Files and folders that are not there, or are something else.
    ("status nowhere", "nowhere does not exist"),
    ("front README", "is a file; name the folder of a run"),
    ("resume nowhere", "nowhere does not exist"),
    ("compare RESULT nowhere", "nowhere does not exist"),
    ("explain nowhere", "nowhere does not exist"),
    ("retrain nowhere --front", "nowhere does not exist"),
    ("worker nowhere", "nowhere"),
    ("search nowhere.yaml", "cannot read the search space nowhere.yaml"),
    ("search SPACE --runner nowhere.yaml", "cannot read the runner nowhere.yaml"),
    ("search README", "README.md: "),
    ("space nowhere", "by name there are autonl"),
    ("ask nowhere.yaml", "cannot read the search space"),
    ("profile show README", "it is not JSON"),
    ("profile check nowhere.json", "cannot read the device profile"),
    ("front RESULTS", "is a folder of runs; name one of them: "),
    ("show RESULTS 1", "is a folder of runs; name one of them: "),
    ("profile fit nowhere --out new.json", "a pack is made by"),
    ("profile adb nowhere", "a pack is made by"),
    ("profile ssh nowhere board", "a pack is made by"),
    ("profile ssh nowhere -- -oX", "allowed: a host as ssh takes it"),
    ("calibrate nowhere.yaml --out new", "cannot read the search space"),
    ("supernet nowhere.yaml --out new", "cannot read the search space"),
    ("front RESULT --device nowhere.json", "cannot read the device profile"),
    # What is there already.
    ("search SPACE --out RESULT", "is a run already; go on with it"),
    ("search SPACE --out RESULT --dry-run", "is a run already; go on with it"),
    ("init RESULT", "exists; name a new folder"),
    ("profile SPACE --out README", "exists; name a new file"),
    ("search SPACE --out README/run --dry-run", "README.md is a file, not a folder; name another"),
    ("calibrate SPACE --out README/run", "README.md is a file, not a folder; name another place"),
    ("init README/run", "README.md is a file, not a folder; name another place"),
    ("front RESULT --csv README/x.csv", "README.md is a file, not a folder; name another place"),
    # Names that nobody knows.
    ("cost --backbone mobilnet", "unknown backbone 'mobilnet'"),
    ("sites mobilnet", "unknown backbone 'mobilnet'"),
    ("cost --backbone mobilenetv2_035 --uniform sea", "unknown block 'sea'"),
    ("ask SPACE --device phone", "unknown runtime 'phone'; known: "),
    ("space SPACE --task style", "'style'"),
    ("search SPACE --data mnist", "allowed: digits, cifar10, folder:PATH"),
    ("search SPACE --set prox.kind=probe", "unknown key 'prox'; allowed in the runner: "),
    ("front RESULT --by beauty", "'beauty'"),
    ("front RESULT --where beauty<3", "beauty"),
    ("export RESULT 0 --to tflite", "unknown target"),
    # Values out of range, or of another kind.
    ("search SPACE --trials 0", "--trials: found '0'; allowed: a whole number, 1 or more"),
    ("search SPACE --time-limit soon", "--time-limit: found 'soon'; allowed: seconds, or a number"),
    ("search SPACE --budget -1h", "--budget: found '-1h'; allowed: seconds, or a number"),
    ("search SPACE --set search.trials=many", "search.trials: found 'many'; allowed: a whole numb"),
    ("search SPACE --set proxy.rungs=5", "proxy.rungs: found 5; allowed: a list"),
    ("search SPACE --set validation=2", "validation: found 2; allowed: less than 1 and above 0"),
    ("search SPACE --focus latency_ms=10..5", "allowed: the lower first"),
    ("search SPACE --regime both", "--regime: found 'both'; allowed: scratch, finetune"),
    ("show RESULT 9999", "has no trial 9999"),
    ("front RESULT --at latency_ms=fast", "write name=number"),
    ("explain RESULT --for params=3", "write latency_ms=NUMBER"),
    ("ask SPACE --plain-accuracy 7", "--plain-accuracy: found '7'; allowed: a number from 0 to 1"),
    ("retrain RESULT --front --epochs inf", "--epochs: found 'inf'; allowed: "),
    ("front RESULT --max latency_ms=nan", "filter 'latency_ms=nan'; write name=number"),
    ("front RESULT --by=", "--by: found ''; allowed: a text that is not empty"),
    ("cost --backbone mobilenetv2_035 --resolution big", "--resolution: found 'big'; allowed: "),
    ("cost --backbone mobilenetv2_035 --total-stride 5", "allowed: 4, 8, 16, 32"),
    ("search SPACE --set workers=", "workers: found null; allowed: auto, or a whole number"),
    ("front RESULT --by loss,loss", "objectives loss, loss: name at least two"),
    # Answers that are missing, or contradict each other.
    ("init new --data digits", "without a terminal nobody can be asked"),
    ("space", "which space? name a file or a space"),
    ("retrain RESULT", "say what to retrain"),
    ("front RESULT --json --markdown", "leave one"),
    ("sites mobilenetv2_035 --weights-match order", "name that file, too"),
    ("search SPACE --regime finetune --set proxy.kind=scratch", "regime finetune with proxy.kind"),
    ("report RESULT --serve --out x.html", "--serve writes no file"),
)


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_input_is_one_line_with_code_2(  # type: ignore[no-untyped-def]
    nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    stands_for = {"SPACE": SPACE, "RESULT": RESULT, "RESULTS": ROOT / "results"}
    stands_for |= {f"README{below}": ROOT / f"README.md{below}" for below in ("", "/run", "/x.csv")}
    ran = nas(*[stands_for.get(word, word) for word in words.split()])
    assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, ""), (ran.code, ran.out, ran.err)
    assert ran.err.startswith("error: ") and said in ran.err
    # It says what is allowed or what to do, and nothing was made.
    assert re.search(
        r"allowed|known|see: |name |write |there are|nas |needed|no trial|not |leave ", ran.err
    )
    assert not list(tmp_path.iterdir())


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 50
