"""What the plugin costs a project that does not use it, and what it costs to have it.

    python tests/benchmark/footprint.py [ROUNDS]

Alternating rounds of pytest on an empty test, with the plugin and without; then the size of what is installed.
"""

from __future__ import annotations

import importlib.metadata
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

RESULT = Path(__file__).parent / "results" / "footprint.md"


def seconds(folder: Path, *arguments: str) -> float:
    """One run of pytest."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def idle(rounds: int) -> list[float]:
    """Seconds that the idle plugin adds, one number per round."""
    added = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_empty.py").write_text("def test_nothing():\n    pass\n")
        for _ in range(rounds + 1):
            without = seconds(folder, "-p", "no:specdec")
            added.append(seconds(folder) - without)
    return added[1:]  # the first round reads files from the disk


def needed(name: str, found: dict[str, int]) -> None:
    """Sizes in bytes of a distribution and of all that it needs."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in found:
        return
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    found[key] = sum(file.stat().st_size for file in files if file.is_file())
    for requirement in distribution.requires or ():
        if "extra ==" not in requirement:
            needed(re.split(r"[ ;<>=!~\[(]", requirement)[0], found)


def main(rounds: int) -> None:
    added = idle(rounds)
    sizes: dict[str, int] = {}
    needed("pytest-specdec", sizes)
    rows = [(name, f"{size / 1e6:.1f}") for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:8]]
    text = (
        f"The idle plugin adds {statistics.median(added):.3f} s to a run of pytest (median of {rounds} alternating "
        f"rounds, {min(added):.3f} to {max(added):.3f}).\n\n"
        f"Installed: {sum(sizes.values()) / 1e6:.0f} MB in {len(sizes)} packages; the largest:\n\n"
        f"{tabulate(rows, ['package', 'MB'], tablefmt='github', disable_numparse=True)}\n"
    )
    print(text)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
