"""Write the tables of docs/regressions.md: python tests/support/catalogue_doc.py speed|text|http|left-out [SEEDS].

`speed` and `text` are in virtual time over 20 seeds, some 10 and 15 min of a CPU; `http` is in real time, some 30 min.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import catalogue
import catalogue_http
import catalogue_text
from catalogue import Caught
from expected import SPEED, START, TEXT, TEXT_CONTROLS, Expected
from tabulate import tabulate
from unseen import UNSEEN

from pytest_specdec.simulator.faults.catalogue import FAULTS, HEALTHY_CONTROLS, find_fault
from pytest_specdec.simulator.faults.fault import Fault

PAGE = Path(__file__).parents[2] / "docs" / "regressions.md"
SEEDS = 20
_HEADERS = ["fault", "published as", "magnitude", "flagged", "red", "right", "by", "diagnosis"]
_CHECKS_SHOWN = 3


def _speed(name: str, seed: int) -> tuple[str, Caught]:
    return name, catalogue.catch(find_fault(name), seed)


def _text(name: str, seed: int) -> tuple[str, Caught]:
    return name, catalogue_text.catch(find_fault(name), seed)


def over_seeds(
    job: Callable[[str, int], tuple[str, Caught]], known: Mapping[str, Expected], controls: Iterable[str], seeds: int
) -> str:
    """Every fault and every control."""
    faults = [fault for fault in FAULTS.values() if fault.id in known] + [HEALTHY_CONTROLS[name] for name in controls]
    caught: dict[str, list[Caught]] = {}
    # Seed by seed, so that the healthy engine is measured once for all faults at a point.
    names = [fault.id for _ in range(seeds) for fault in faults]
    numbers = [seed for seed in range(seeds) for _ in faults]
    with ProcessPoolExecutor(2) as pool:
        for name, found in pool.map(job, names, numbers, chunksize=len(faults)):
            caught.setdefault(name, []).append(found)
    return table([row(fault, caught[fault.id], known.get(fault.id)) for fault in faults])


def over_http() -> str:
    """Every fault once."""
    rows = []
    for fault in FAULTS.values():
        with catalogue_http.unlimited_client():
            ways = catalogue_http.catch_all(fault)
        for way, found in ways.items():
            known = {"speed": SPEED | catalogue_http.OVER_HTTP, "text": TEXT, "start": START}[way]
            rows.append(row(fault, [found], known[fault.id]))
    return table(rows)


def row(fault: Fault, caught: Sequence[Caught], known: Expected | None) -> list[str]:
    """One fault: how often it was flagged, red, and rightly so."""
    count = len(caught)
    checks = Counter(check for one in caught for check in one.checks)
    causes = Counter(one.cause for one in caught if one.cause)
    right = sum(known.check in one.checks and one.cause == known.cause for one in caught) if known else None
    return [
        fault.id,
        ", ".join(fault.threads) or "-",
        fault.magnitude,
        f"{sum(bool(one.checks) for one in caught)}/{count}",
        f"{sum(one.failed for one in caught)}/{count}",
        "-" if right is None else f"{right}/{count}",
        ", ".join(check for check, _ in checks.most_common(_CHECKS_SHOWN)) or "nothing",
        causes.most_common(1)[0][0] if causes else "-",
    ]


def left_out() -> str:
    """What no client can see, with the reason."""
    rows = [[one.what, one.thread, one.reason] for one in UNSEEN]
    return tabulate(rows, ["what", "published as", "why"], tablefmt="github", disable_numparse=True)


def table(rows: Iterable[Sequence[str]]) -> str:
    """As the page has it."""
    return tabulate(list(rows), _HEADERS, tablefmt="github", disable_numparse=True)


def put(name: str, content: str) -> None:
    """Write a table where the page has its place."""
    place = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    text = PAGE.read_text()
    assert place.search(text), f"{PAGE} has no place for the table {name}"
    PAGE.write_text(place.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text))


def main(which: str, seeds: int = SEEDS) -> None:
    """Make one table and put it in its place."""
    makers: dict[str, Callable[[], str]] = {
        "speed": lambda: over_seeds(_speed, SPEED, HEALTHY_CONTROLS, seeds),
        "text": lambda: over_seeds(_text, TEXT, TEXT_CONTROLS, seeds),
        "http": over_http,
        "left-out": left_out,
    }
    put(which, makers[which]())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
