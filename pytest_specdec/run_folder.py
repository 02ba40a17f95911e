"""The folder of the saved runs, and the name of the next one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path


def new_run_path(folder: Path, started_at: datetime) -> Path:
    """A name by the second, with a counter for runs of the same second; the folder keeps itself out of git."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    stem = started_at.strftime("%Y%m%d-%H%M%S")
    names = (f"{stem}.json", *(f"{stem}-{n}.json" for n in range(2, 1000)))
    return next(folder / name for name in names if not (folder / name).exists())
