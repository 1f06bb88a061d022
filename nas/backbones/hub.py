"""Files on the Hugging Face Hub: from its cache, else downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError

from nas.base.errors import SpecError, first_line

__all__ = ["hub_file"]

_PATIENCE_S = 5.0


def hub_file(
    repository: str,
    names: Sequence[str],
    *,
    subject: str,
    instead: str,
    revision: str | None = None,
) -> Path | None:
    """Return the first of some files that a repository has; None where it has none of them.

    subject, instead: what cannot be had, and what to do about it, for messages.
    Raises SpecError when they are not in the cache and cannot be downloaded.
    """
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    hub = huggingface_hub.constants.ENDPOINT
    try:
        # Offline, the hub's client tries again for most of a minute; so one short question first.
        huggingface_hub.get_session().head(hub, timeout=_PATIENCE_S)
    except Exception as error:
        raise SpecError(
            f"{subject}: they are not in the cache and {hub} cannot be reached "
            f"({first_line(error)}); {instead}"
        ) from None
    for name in names:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
        except EntryNotFoundError:
            continue
        except Exception as error:  # a wrong name, no permission, a disk that is full
            raise SpecError(f"{subject}: {first_line(error)}; {instead}") from None
    return None
