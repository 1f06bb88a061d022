from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.samples import ROOT

from nas.base.errors import SpecError
from nas.base.files import dump_yaml, parse
from nas.spec.runner import Proxy, Runner, load_runner, with_overrides


def loaded(folder: Path, text: str | bytes, *overrides: str) -> Runner:
    path = folder / "runner.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_runner(path, overrides)


def test_a_device_is_a_runtime_or_the_path_of_a_profile() -> None:
    assert Runner().device_profile is None
    assert Runner(device="openvino-int8").device_profile is None
    assert Runner(device="phones/pixel.json").device_profile == Path("phones/pixel.json")


def test_local_runner_holds_the_defaults() -> None:
    assert load_runner(ROOT / "runners" / "local.yaml") == load_runner() == Runner()


@pytest.mark.parametrize("text", ["", "# all left out", "{}"])
def test_empty_file_is_the_defaults(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text) == Runner()


@pytest.mark.parametrize("text", ["[]", "[workers]", "false", "0", "''", "local"])
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="holds .*; needed: keys with values"):
        loaded(tmp_path, text)


def test_resolved_copy_reads_back(tmp_path: Path) -> None:
    runner = load_runner(None, ("workers=3", "search.time_limit=30m", "proxy.rungs=[0.5]"))
    assert loaded(tmp_path, dump_yaml(runner)) == runner


def test_overrides_reach_every_depth_and_the_last_one_counts(tmp_path: Path) -> None:
    runner = loaded(
        tmp_path,
        "search: {trials: 7, seed: 4}",
        "workers=2",
        "search.trials=8",
        "proxy.backbone.epochs=0.5",
        "proxy.kind = finetune",
        "search.objectives=[accuracy, params]",
        "search.trials=9",
    )
    assert (runner.workers, runner.search.trials, runner.search.seed) == (2, 9, 4)
    assert (runner.proxy.backbone.epochs, runner.proxy.kind) == (0.5, "finetune")
    assert runner.search.objectives == ["accuracy", "params"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "worker=3",
            "unknown key 'worker'; allowed in the runner: checkpoints, classes, device, executor, ",
        ),
        ("sampler=tpe", "allowed in the runner: "),
        (
            "search.samplr=tpe",
            "unknown key 'samplr'; allowed in search: attempts, budget, confirm_seeds",
        ),
        (
            "proxy.backbone.epoch=1",
            "allowed in proxy.backbone: digest, epochs, freeze_norms, learning_rate, match, rate_",
        ),
        ("workers.n=3", "unknown key 'n'; allowed in workers: none, it is a value"),
        ("workers", "write key=value"),
        ("=3", "write key=value"),
        ("search..trials=3", "write key=value"),
        ("search.trials=", "search.trials: found null"),
        ("search.trials=[", "--set search.trials: not plain YAML"),
        ("search.trials=0", "search.trials: found 0; allowed: 1 or more"),
        ("search.trials=many", "search.trials: found 'many'; allowed: a whole number"),
        ("search.focus={params: [1, 2]}", "no objective; there are: loss, latency_ms"),
        ("search.focus={latency_ms: [2, 1]}", "found 2.0 to 1.0; allowed: the lower first"),
        ("search.focus={latency_ms: [2]}", "search.focus"),
        ("search.sampler=cmaes", "found 'cmaes'; allowed: 'pareto', 'evolution', 'front'"),
        ("search.objectives=[loss]", "name at least two different ones"),
        ("search.objectives=[loss, speed]", "unknown objective 'speed'; known: loss, accuracy"),
        ("search.reduction=1", "search.reduction: found 1; allowed: 2 or more"),
        ("search.reduction=2.5", "search.reduction: found 2.5"),
        ("proxy.rungs=[3, 1]", "each larger than the one before"),
        ("proxy.rungs=[]", "proxy.rungs: found []"),
        ("proxy.learning_rate=.inf", "allowed: a finite number"),
        ("validation=1", "validation: found 1; allowed: less than 1"),
        ("search=5", "search: found 5"),
        ("side_by_side=threads", "found 'threads'; allowed: 'processes', 'streams' or 'auto'"),
        ("retrain.processes=0", "retrain.processes: found 0; allowed: 1 or more"),
        ("executor=slurm", "executor: found 'slurm'; allowed: 'local', 'worker', 'ray'"),
    ],
)
def test_wrong_override_says_what_is_allowed(override: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_runner(None, (override,))
    assert str(caught.value).startswith("--set")
    assert told in str(caught.value)


@pytest.mark.parametrize("value", ["0", "many", "1.5", "true"])
def test_wrong_number_of_workers_says_that_numbers_are_allowed(value: str) -> None:
    with pytest.raises(SpecError, match=r"workers: found .*auto.*(number|integer|whole)"):
        load_runner(None, (f"workers={value}",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{executor: tune, storage: 'postgresql://me@host/nas'}",
            "executor tune keeps its study in a journal; found storage 'postgresql://me@host/nas'",
        ),
        (
            "{executor: ray, side_by_side: streams}",
            "side_by_side streams is of executor local; found ray, whose workers have one",
        ),
        (
            "serch: {}",
            "unknown key 'serch'; allowed here: checkpoints, classes, device, executor, head, ",
        ),
        (
            "search: {trial: 3}",
            "unknown key 'search.trial'; allowed here: attempts, budget, confirm_seeds, f",
        ),
        (
            "proxy: {backbone: {weight: train}}",
            "'proxy.backbone.weight'; allowed here: digest, epochs",
        ),
        ("workers: 1\nworkers: 2", "'workers' stands twice"),
        ("workers: &n 2\nsearch: {trials: *n}", "aliases"),
        ("workers: !!python/object:os.system {}", "python/object"),
        ("validation: '0.2'", "validation: found '0.2'"),
        ("validation: .nan", "validation: found nan"),
    ],
)
def test_wrong_file_names_the_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'runner.yaml'}: ")
    assert told in str(caught.value)


def test_wrong_file_is_refused_although_an_override_would_mend_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="runner.yaml: search.trials"):
        loaded(tmp_path, "search: {trials: 0}", "search.trials=3")


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read the runner .*absent.yaml"):
        load_runner(tmp_path / "absent.yaml")
    with pytest.raises(SpecError, match="cannot read the runner"):
        load_runner(tmp_path)
    with pytest.raises(SpecError, match="not a text file"):
        loaded(tmp_path, b"workers: \xff\xfe")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("1d", 86400)],
)
def test_time_limit_takes_a_unit(tmp_path: Path, text: str, seconds: float) -> None:
    assert load_runner(None, (f"search.time_limit={text}",)).search.time_limit == seconds
    assert loaded(tmp_path, f"search: {{time_limit: {text}}}").search.time_limit == seconds


@pytest.mark.parametrize("text", ["soon", "2 weeks", "-5m", "h", "'1:30'", "true", "0", "-1", "[]"])
def test_time_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="search.time_limit: found .*; allowed: "):
        load_runner(None, (f"search.time_limit={text}",))


@pytest.mark.parametrize(
    "text",
    [
        "search: {time_limit: .inf}",
        f"search: {{time_limit: 1{'0' * 400}}}",
        f"search: {{time_limit: 1{'0' * 400}s}}",
        "proxy: {rungs: [.inf]}",
        "proxy: {learning_rate: .inf}",
        "proxy: {backbone: {epochs: 1e999}}",
    ],
)
def test_endless_amounts_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="found"):
        loaded(tmp_path, text)


@given(st.text(max_size=30))
@settings(deadline=None)
def test_any_override_is_taken_or_refused_in_words(text: str) -> None:
    for override in (text, f"search.time_limit={text}", f"proxy={text}"):
        try:
            load_runner(None, (override,))
        except SpecError as error:
            assert "--set" in str(error)


def test_focus_needs_the_sampler_that_can() -> None:
    with pytest.raises(SpecError, match="'tpe' cannot; use pareto"):
        load_runner(None, ("search.sampler=tpe", "search.focus={latency_ms: [1, 2]}"))


def test_what_is_switched_off_stays_off_when_it_is_written_and_read(tmp_path: Path) -> None:
    asked = load_runner(None, ("search.reduction=null",))
    (tmp_path / "run.yaml").write_text(dump_yaml(asked))
    assert load_runner(tmp_path / "run.yaml") == asked


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ray.gpus=1.5", "ray.gpus: found 1.5; allowed: a fraction of one, or whole ones"),
        ("ray.resources={GPU: 1}", "ray.resources: found GPU; that is said by"),
        ("ray.address=http://head:8265", "allowed: auto, host:port or ray://host:port"),
        ("ray.cpus=0", "a trial takes nothing of a node"),
        ("ray.placement=near", "ray.placement: found 'near'"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(override: str, said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)):
        load_runner(None, (override,))


def test_a_trial_takes_what_the_runner_says() -> None:
    runner = load_runner(None, ("ray.gpus=0.5", "ray.cpus=2", "ray.resources={a100: 1}"))
    assert runner.ray.needs == {"CPU": 2, "GPU": 0.5, "a100": 1}


@pytest.mark.parametrize(
    ("proxy", "images", "expected"),
    [
        ({}, 40_000, ([5.0], "epochs")),
        ({"kind": "probe"}, 40_000, ([300.0], "steps")),
        ({"kind": "probe"}, 1_150, ([3.0], "epochs")),
        ({"kind": "probe", "subset": 1_150}, 40_000, ([3.0], "epochs")),
        ({"kind": "probe", "batch_size": 1024}, 40_000, ([3.0], "epochs")),
        ({"kind": "finetune"}, 40_000, ([3.0], "epochs")),
        ({"kind": "supernet"}, 40_000, ([20.0], "epochs")),
        ({"kind": "supernet-whole"}, 40_000, ([3750.0], "steps")),
        ({"kind": "supernet-whole"}, 1_150, ([20.0], "epochs")),
        ({"rungs": [1.0, 9.0]}, 40_000, ([1.0, 9.0], "epochs")),
    ],
)
def test_a_budget_that_is_not_given_suits_the_images(
    proxy: dict[str, Any], images: int, expected: tuple[list[float], str]
) -> None:
    settled = Proxy(**proxy).settled(images)
    assert (settled.budgets, settled.unit) == expected
    assert settled.settled(10) == settled


@pytest.mark.parametrize(
    ("proxy", "images", "epochs"),
    [
        ({}, 160, 25.0),
        ({}, 176, 23.0),  # 11 steps in each, and whole epochs
        ({}, 800, 5.0),
        ({}, 40_000, 5.0),
        ({}, 9, 250.0),
        ({"subset": 160}, 800, 25.0),
        ({"rungs": [6.0]}, 160, 6.0),
        ({"kind": "finetune"}, 160, 3.0),
    ],
)
def test_few_images_of_a_task_make_a_longer_training_from_scratch(
    proxy: dict[str, Any], images: int, epochs: float
) -> None:
    settled = Proxy(batch_size=16, **proxy).settled(images, least_steps=250)
    assert (settled.budgets, settled.unit) == ([epochs], "epochs")


@pytest.mark.parametrize(
    ("proxy", "images", "warm_up"),
    [
        ({}, 960, 5 / 3),  # a third, and of the whole
        ({"rungs": [3.0, 6.0]}, 960, 2.0),
        ({"rungs": [3.0, 6.0], "schedule": "trunk"}, 960, 1.0),
        ({"rungs": [40.0]}, 40_000, 2.0),  # 1,250 steps
        ({"rungs": [40.0], "warm_up": 4.0}, 40_000, 4.0),
        ({"rungs": [30.0], "unit": "seconds"}, 40_000, 10.0),
        ({"rungs": [3.0], "schedule": "restart"}, 960, None),
        ({"kind": "finetune"}, 960, None),
    ],
)
def test_a_training_from_scratch_warms_up_for_long(
    proxy: dict[str, Any], images: int, warm_up: float | None
) -> None:
    settled = Proxy(**proxy).settled(images)
    assert settled.warm_up == (None if warm_up is None else pytest.approx(warm_up))
    assert settled.settled(10) == settled


def test_blocks_start_as_identities_unless_an_earlier_run_says_nothing_of_it() -> None:
    assert Proxy().block_start == "paper"  # so it was
    assert Proxy().settled(960).block_start == "identity"
    assert Proxy(start="paper").settled(960).block_start == "paper"
    assert Proxy(kind="probe").settled(960) == Proxy(kind="probe", rungs=[3.0])
    assert Proxy(kind="probe").block_start == "identity"


@pytest.mark.parametrize(
    ("text", "regime", "kind"),
    [
        ("{}", "scratch", "scratch"),
        ("regime: finetune", "finetune", "finetune"),
        ("{regime: finetune, proxy: {seeds: 2}}", "finetune", "finetune"),
        ("{regime: finetune, proxy: {kind: null}}", "finetune", "finetune"),
        ("{regime: finetune, proxy: {kind: probe}}", "finetune", "probe"),
        ("proxy: {kind: supernet}", "finetune", "supernet"),
        ("proxy: {kind: scratch}", "scratch", "scratch"),
    ],
)
def test_the_regime_and_the_kind_of_proxy_follow_from_each_other(
    tmp_path: Path, text: str, regime: str, kind: str
) -> None:
    runner = loaded(tmp_path, text)
    assert (runner.regime, runner.proxy.kind) == (regime, kind)
    assert loaded(tmp_path, dump_yaml(runner)) == runner
    changed = loaded(tmp_path, text, "proxy.seeds=3", "workers=2")
    assert (changed.regime, changed.proxy.kind) == (regime, kind)


def test_an_override_of_the_kind_or_the_regime_takes_the_other_along() -> None:
    assert load_runner(None, ("proxy.kind=probe",)).regime == "finetune"
    assert load_runner(None, ("regime=finetune",)).proxy.kind == "finetune"
    probing = load_runner(None, ("workers=2", "proxy.kind=probe"))
    assert with_overrides(probing, ("proxy.kind=scratch",)).regime == "scratch"
    local = load_runner(ROOT / "runners" / "local.yaml", ("regime=finetune", "proxy.kind=probe"))
    assert (local.regime, local.proxy.kind) == ("finetune", "probe")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("regime=sctratch",), "regime: found 'sctratch'; allowed: 'scratch' or 'finetune'"),
        (
            ("regime=finetune", "proxy.kind=scratch"),
            "regime finetune with proxy.kind scratch; allowed: finetune or probe or supernet",
        ),
        (
            ("regime=scratch", "proxy.kind=probe"),
            "regime scratch with proxy.kind probe; allowed: scratch, or regime finetune",
        ),
        (
            ("regime=finetune", "retrain.weights=random"),
            "regime finetune with retrain.weights random; allowed: backbone or pretrained, or "
            "regime scratch",
        ),
        (
            ("regime=scratch", "retrain.weights=backbone"),
            "regime scratch with retrain.weights backbone; allowed: random, or regime finetune",
        ),
        (
            ("proxy.backbone.weights=pretrained",),
            "regime scratch with proxy.backbone.weights pretrained, from which nothing would start",
        ),
        (("regime=finetune", "proxy.start=paper"), "blocks start as identities; leave it out"),
    ],
)
def test_what_contradicts_the_regime_is_refused(overrides: tuple[str, ...], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_runner(None, overrides)
    assert str(caught.value).startswith("--set: ") and told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_contradicts_its_regime_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"runner.yaml: regime finetune with retrain.weights"):
        loaded(tmp_path, "{regime: finetune, retrain: {weights: random}}")
    with pytest.raises(SpecError, match=r"runner.yaml: regime scratch with proxy.kind probe"):
        loaded(tmp_path, "{regime: scratch, proxy: {kind: probe}}")


def test_a_file_without_a_regime_means_what_it_meant(tmp_path: Path) -> None:
    text = "{proxy: {kind: probe, rungs: [300], unit: steps}, retrain: {weights: random}}"
    runner = loaded(tmp_path, text)
    assert (runner.regime, runner.proxy.kind, runner.retrain.weights) == (
        "finetune",
        "probe",
        "random",
    )
    assert parse(Runner, runner.model_dump(), "run.yaml") == runner  # as a run keeps it
    assert loaded(tmp_path, text, "workers=2").retrain.weights == "random"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("proxy.cooldown=0.2", "cooldown: schedule 'whole' has none; use trunk"),
        (
            "proxy={rungs: [1, 3], schedule: trunk, cooldown: 1.5}",
            "cooldown 1.5 leaves nothing of the first rung, 1; make it shorter",
        ),
        (
            "proxy={rungs: [1, 3], schedule: trunk, warm_up: 2}",
            "warm_up 2 is longer than the training, 1",
        ),
        ("proxy={rungs: [3], schedule: restart, warm_up: 1}", "it is a fifth of each cycle"),
    ],
)
def test_a_trunk_without_room_is_refused(override: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_runner(None, (override,))
    assert told in str(caught.value)


def test_a_unit_of_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="unit 'steps' says what rungs count; give rungs, too"):
        load_runner(None, ("proxy.unit=steps",))
