"""The parts of pages: templates, one style, one script, and a policy that allows no other."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from nas.report.template_filters import FILTERS
from nas.spec.architecture import PLAIN
from nas.spec.width import is_widened

__all__ = ["asset", "content_policy", "script_of", "templates"]


def templates() -> Environment:
    """Return the templates; what they are given is escaped."""
    environment = Environment(
        loader=PackageLoader("nas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    environment.globals["PLAIN"] = PLAIN
    environment.tests["widened"] = is_widened
    return environment


def asset(name: str) -> str:
    """Return a file beside the templates."""
    return (resources.files("nas.report") / "templates" / name).read_text(encoding="utf-8")


def script_of(*names: str) -> str:
    """Return one script of some files, which share their names and leave none behind."""
    parts = [asset(f"{name}.js") for name in names]
    return "\n".join(['"use strict";', "(() => {", *parts, "})();"])


def content_policy(script: str, *, live: bool, pictures: bool = False) -> str:
    """Return the Content-Security-Policy: this script and the one style, and nothing else.

    live: whether it asks its server for news.
    pictures: whether it holds some, which are written in it.
    """

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    parts = [
        "default-src 'none'",
        f"script-src 'sha256-{digest(script)}'",
        f"style-src 'sha256-{digest(asset('report.css'))}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if pictures:
        parts.append("img-src data:")
    return "; ".join([*parts, "connect-src 'self'"] if live else parts)
