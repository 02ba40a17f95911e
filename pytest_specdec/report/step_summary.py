"""Step summary of GitHub Actions: a file to append to, named by `$GITHUB_STEP_SUMMARY`."""

from __future__ import annotations

from pathlib import Path

VARIABLE = "GITHUB_STEP_SUMMARY"
LIMIT_BYTES = 1024 * 1024
"""GitHub drops a step's whole summary above this."""


def append_step_summary(page: str, path: Path) -> str:
    """Append a page if it fits; returns a sentence for the user and never raises.

    A summary that cannot be written is no reason for a run of hours to fail.
    """
    text = f"{page.rstrip()}\n\n"
    try:
        before = path.stat().st_size if path.exists() else 0
        if before + len(text.encode()) > LIMIT_BYTES:
            return f"step summary not written: {before} bytes are there already, and GitHub takes 1 MiB"
        with path.open("a", encoding="utf-8") as file:
            # What another tool wrote there may lack its line's end, and a heading needs one.
            file.write(f"\n{text}" if before else text)
    except OSError as error:
        return f"step summary not written: {path}: {error.strerror or error}"
    return "step summary written"
