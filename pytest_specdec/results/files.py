"""Atomic writing: a file is the old one or the whole new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pytest_specdec.errors import InvalidInputError


def write_whole(path: Path, text: str) -> None:
    """Write beside, then rename, creating the folder.

    Raises:
        InvalidInputError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidInputError(f"cannot write {path}: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
