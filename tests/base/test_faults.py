"""Every fault of a runner or a space is said in this program's own words, never in a library's."""

from __future__ import annotations

import re

import pytest

from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace

_FOREIGN = re.compile(
    r"valid |should|Input|instance|dictionary|after validation|greater|less than or|None|"
    r"Value error|Extra|pydantic"
)
_SPACE = "{name: a, backbones: [mobilenetv2_035], blocks: {se: {}}}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("search: {trials: many}", "search.trials: found 'many'; allowed: a whole number"),
        ("search: {trials: 1.5}", "search.trials: found 1.5; allowed: a whole number"),
        ("search: {trials: null}", "search.trials: found null; allowed: a whole number"),
        ("search: {trials: 0}", "search.trials: found 0; allowed: 1 or more"),
        ("search: {full_share: 2}", "search.full_share: found 2; allowed: below 1"),
        ("retrain: {rand_augment: 50}", "retrain.rand_augment: found 50; allowed: 30 or less"),
        ("proxy: {learning_rate: -1}", "proxy.learning_rate: found -1; allowed: above 0"),
        ("proxy: {learning_rate: .inf}", "proxy.learning_rate: found inf; allowed: a finite numb"),
        ("proxy: {rungs: 5}", "proxy.rungs: found 5; allowed: a list, as in [a, b]"),
        ("proxy: {rungs: []}", "proxy.rungs: found []; allowed: 1 or more of them"),
        ("normalisation: 3", "found 3; allowed: a section with keys of these: mean, std"),
        ("normalisation: {men: [1]}", "unknown key 'normalisation.men'; allowed here: mean, std"),
        ("normalisation: {mean: [1, 2, 3, 4]}", "allowed: 3 of them at most"),
        (
            "proxy: probe",
            "proxy: found 'probe'; allowed: a section with keys of these: ",
        ),
        (
            "proxy: {backbone: x}",
            "proxy.backbone: found 'x'; allowed: a section with keys of these: ",
        ),
        ("proxy: {backbone: {weights: ''}}", "found ''; allowed: a text that is not empty"),
        ("proxy: {backbone: {freeze_norms: 1}}", "found 1; allowed: true or false"),
        ("search: {focus: 3}", "search.focus: found 3; allowed: keys with values, as in {a: b}"),
        ("device: 3", "device: found 3; allowed: a text"),
        ("proxy: {unit: minutes}", "allowed: 'epochs', 'steps', 'images' or 'seconds'"),
    ],
)
def test_faults_of_runners_are_in_words_of_ones_own(wrong: str, said: str) -> None:
    _check(Runner, read_yaml(wrong, "it"), said)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("backbones: []", "backbones: found []; allowed: 1 or more of them"),
        ("blocks: [se]", "blocks: found ['se']; allowed: keys with values"),
        ("sites: 3", "sites: found 3; allowed: a section with keys of these: "),
        ("name: ''", "name: found ''; allowed: letters, digits"),
        ("resolutions: 32", "resolutions: found 32; allowed: a list"),
        ("constraints: {latncy: 1}", "unknown key 'constraints.latncy'; allowed here: latency_ms"),
    ],
)
def test_faults_of_spaces_are_too(wrong: str, said: str) -> None:
    _check(SearchSpace, read_yaml(_SPACE, "it") | read_yaml(wrong, "it"), said)


def _check(model: type[Runner] | type[SearchSpace], data: object, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(model, data, "it")
    assert said in str(raised.value)
    assert not _FOREIGN.search(str(raised.value)), raised.value


def test_no_value_of_another_kind_speaks_with_another_voice() -> None:
    """Nobody gave this one: every key there is, with what cannot be meant."""
    for section, keys in Runner().model_dump().items():
        for key in [section] if not isinstance(keys, dict) else [f"{section}.{k}" for k in keys]:
            for value in (object, [object], {"a": object}, -1.5, True, ""):
                _speak(key, value)


def _speak(key: str, value: object) -> None:
    data: object = value
    for part in reversed(key.split(".")):
        data = {part: data}
    try:
        parse(Runner, data, "it")
    except SpecError as error:
        said = re.sub(r"found .*?; ", "", str(error))
        assert not _FOREIGN.search(said), said
