"""Files of whole outputs: any change of text or layout shows as a diff to review."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"


def same_as_golden(name: str, text: str) -> None:
    """Compare with a golden file; with SPECDEC_WRITE_GOLDEN in the environment, write it first."""
    path = GOLDEN / name
    if os.environ.get("SPECDEC_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
