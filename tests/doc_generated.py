"""Parts of the docs that are made from the code and from golden files. `python tests/doc_generated.py` writes them."""

from __future__ import annotations

from pathlib import Path

from pytest_specdec.metric import METRICS
from pytest_specdec.report.render import escaped

ROOT = Path(__file__).parent.parent
MADE = "made by tests/doc_generated.py"


def glossary() -> str:
    """One row per metric: title, key, unit, direction, formula."""
    rows = [("metric", "key", "unit", "better", "formula"), ("---",) * 5]
    rows += [
        (escaped(metric.title), f"`{key}`", metric.unit, metric.better or "neither", escaped(metric.formula))
        for key, metric in METRICS.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def example_page() -> str:
    """The beginning of the page for a pull request, as its golden file has it."""
    page = (ROOT / "tests" / "golden" / "pull_request_fail.md").read_text()
    return f"```markdown\n{page.partition('Throughput over interactivity')[0].strip()}\n```"


PARTS = {
    ROOT / "docs" / "glossary.md": ("metrics", glossary),
    ROOT / "docs" / "verdicts.md": ("page", example_page),
}
"""What is made of which page: its name, between whose comments it stands, and how."""


def remade(page: Path) -> str:
    """The text of a page with its part made anew."""
    name, make = PARTS[page]
    begin, end = f"<!-- {name}: {MADE} -->", f"<!-- end of {name} -->"
    head, found, rest = page.read_text().partition(begin)
    assert found, f"{page} has no {begin}"
    return f"{head}{begin}\n\n{make()}\n\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    for path in PARTS:
        path.write_text(remade(path))
