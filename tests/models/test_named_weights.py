"""Weights by name: as timm keeps them in a folder, and on the Hub."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
import timm
from huggingface_hub.errors import EntryNotFoundError
from timm.models import save_for_hf

from nas.base.errors import SpecError
from nas.models.named_weights import find_weights, read_config


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder as timm writes it."""
    network = timm.create_model("mobilenetv2_035", num_classes=10)
    save_for_hf(network, str(tmp_path / "kept"), safe_serialization=True)
    return tmp_path / "kept"


def test_a_folder_of_timm_tells_its_file_and_its_network(kept: Path) -> None:
    found = find_weights(f"local-dir:{kept}")
    assert found is not None
    assert (found.file, found.architecture) == (kept / "model.safetensors", "mobilenetv2_035")
    assert read_config(kept)["pretrained_cfg"]["mean"] == [0.485, 0.456, 0.406]
    (kept / "config.json").write_text("[not ours")
    found = find_weights(f"local-dir:{kept}")
    assert found is not None and found.architecture is None


def test_other_texts_are_no_names() -> None:
    assert find_weights("weights.safetensors") is None
    assert find_weights("./hf-hub:x.pth") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("local-dir:/nowhere", "there is no folder"),
        ("local-dir:", "neither model.safetensors nor pytorch_model.bin"),
        ("hf-hub:", "allowed: hf-hub:OWNER/NAME"),
        ("hf-hub:pets", "allowed: hf-hub:OWNER/NAME"),
        ("hf-hub:timm/../../etc", "allowed: hf-hub:OWNER/NAME"),
    ],
)
def test_a_wrong_name_is_one_line(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=said) as caught:
        find_weights(name)
    assert "\n" not in str(caught.value)


class Hub:
    """Answers, or not."""

    reached = True

    def head(self, *_arguments: object, **_options: object) -> None:
        if not self.reached:
            raise OSError("Name or service not known")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Hub]:
    """A hub with nothing in the cache."""
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "get_session", Hub)
    monkeypatch.setattr(Hub, "reached", True)
    return Hub


def test_out_of_reach_is_one_line(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reached", False)
    with pytest.raises(SpecError, match="'hf-hub:some/net' cannot be had.*connect") as caught:
        find_weights("hf-hub:some/net")
    assert "\n" not in str(caught.value)


def test_a_repository_is_read_as_timm_writes_it(
    hub: type[Hub], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repository: str, name: str, *, revision: str | None) -> str:
        asked.append((repository, name, revision))
        if name == "model.safetensors":
            raise EntryNotFoundError("404")
        return str(kept / name)

    (kept / "model.safetensors").rename(kept / "pytorch_model.bin")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    found = find_weights("hf-hub:some/net@v1.0")
    assert found is not None
    assert (found.file.name, found.architecture) == ("pytorch_model.bin", "mobilenetv2_035")
    assert set(asked) == {
        ("some/net", name, "v1.0")
        for name in ("model.safetensors", "pytorch_model.bin", "config.json")
    }


def test_a_repository_that_is_not_there_is_one_line(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_arguments: object, **_options: object) -> str:
        raise OSError("401 Client Error.\nRepository Not Found for url: ...")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(SpecError, match="cannot be had: 401 Client Error.; connect") as caught:
        find_weights("hf-hub:no/such")
    assert "\n" not in str(caught.value)
