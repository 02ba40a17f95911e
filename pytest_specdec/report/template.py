"""A page as one HTML file that makes no network request: its policy allows its own style and script by their hashes."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any


def rendered(name: str, *, style: str, script: str = "", **content: Any) -> str:  # noqa: ANN401 - jinja2 takes anything
    """Fill in a template of `report/page`; texts are escaped."""
    # Imported here: only a page needs the template engine.
    import jinja2  # noqa: PLC0415

    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(asset(name))
    return template.render(style=style, style_hash=_hash(style), script=script, script_hash=_hash(script), **content)


def asset(name: str) -> str:
    """Text of a file of `report/page`."""
    return (resources.files("pytest_specdec") / "report" / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
