"""The folder of the saved runs, and the name of the next one."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

from pytest_specdec.errors import InvalidInputError


def new_run_path(folder: Path, started_at: datetime) -> Path:
    """Make an empty file named by the second, with a counter for runs of the same second.

    The folder keeps itself out of git.

    Raises:
        InvalidInputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        stem = started_at.strftime("%Y%m%d-%H%M%S")
        names = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        return next(path for name in names if _reserved(path := folder / f"{name}.json"))
    except OSError as error:
        raise InvalidInputError(
            f"cannot write to {folder}: {error.strerror or error}; the ini key specdec_runs names another folder"
        ) from error


def _reserved(path: Path) -> bool:
    """Create the file and tell if it is new: another process may have started in the same second."""
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    return True
