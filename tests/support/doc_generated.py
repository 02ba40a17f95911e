"""Parts of the docs that are made from the code and from golden files: `python tests/support/doc_generated.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.report.render import escaped
from pytest_specdec.report.run_report import verdict_lines
from pytest_specdec.results.verdict import MetricVerdict, Verdict, loss_of
from pytest_specdec.speculation.diagnosis import diagnose

ROOT = Path(__file__).parents[2]
MADE = "made by tests/support/doc_generated.py"


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


def example_cell() -> str:
    """What a failed test says of its cell."""
    before = {
        "total_tok_s_gpu": Estimate(92.4, 0.5),
        "output_tok_s_gpu": Estimate(46.2, 0.25),
        "interactivity_tok_s_user": Estimate(96.1, 0.5),
        "acceptance_length": Estimate(2.60, 0.01),
        "ttft_p50_ms": Estimate(80.0),
    }
    now = {
        "total_tok_s_gpu": Estimate(81.3, 0.4),
        "output_tok_s_gpu": Estimate(40.66, 0.2),
        "interactivity_tok_s_user": Estimate(84.5, 0.4),
        "acceptance_length": Estimate(2.29, 0.01),
        "ttft_p50_ms": Estimate(81.0),
    }
    metrics = tuple(
        MetricVerdict(
            metric=key,
            baseline=before[key],
            measured=now[key],
            loss=loss_of(key, now[key], before[key]),
            tolerance=margin,
            outcome=None if margin is None else Outcome.REGRESSED,
        )
        for key, margin in _MARGINS.items()
    )
    engine = EngineSpec(model="org/Model-FP8", precision="fp8", mtp=3)
    cell = Cell(engine, Workload(isl=1024, osl=1024), 4)
    verdict = Verdict(cell=cell, outcome=Outcome.REGRESSED, metrics=metrics, diagnosis=diagnose(before, now))
    return "\n".join(["```text", *verdict_lines(verdict), "```"])


_MARGINS = {"total_tok_s_gpu": 0.05, "interactivity_tok_s_user": 0.05, "acceptance_length": 0.03, "ttft_p50_ms": None}
PARTS: dict[Path, dict[str, Callable[[], str]]] = {
    ROOT / "docs" / "glossary.md": {"metrics": glossary},
    ROOT / "docs" / "verdicts.md": {"cell": example_cell, "page": example_page},
}
"""What is made of which page: the name between whose comments it stands, and how."""


def remade(page: Path) -> str:
    """The text of a page with its parts made anew."""
    text = page.read_text()
    for name, make in PARTS[page].items():
        begin, end = f"<!-- {name}: {MADE} -->", f"<!-- end of {name} -->"
        head, found, rest = text.partition(begin)
        assert found, f"{page} has no {begin}"
        text = f"{head}{begin}\n\n{make()}\n\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for path in PARTS:
        path.write_text(remade(path))
