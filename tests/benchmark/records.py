"""Results of the benchmark: a line of JSON per run, and the table that they add up to."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from metering import Meter
from ruler import Pace
from tools import Reported

OURS, PEER = "specdec", "vllm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One load on a server of one pace."""

    name: str
    concurrency: int
    step_ms: float
    tokens_per_chunk: float
    chunks: int
    """Per answer."""
    waves: int
    """Requests per stream of the closed loop."""
    stagger_ms: float = 0.0
    ttft_ms: float = 50.0
    isl: int = 128

    @property
    def pace(self) -> Pace:
        """The server's."""
        return Pace(
            ttft_ms=self.ttft_ms,
            step_ms=self.step_ms,
            tokens_per_chunk=self.tokens_per_chunk,
            stagger_ms=self.stagger_ms,
        )

    @property
    def osl(self) -> int:
        """Tokens of an answer."""
        return 1 + round((self.chunks - 1) * self.tokens_per_chunk)

    @property
    def requests(self) -> int:
        """Of a run."""
        return self.waves * self.concurrency

    @property
    def ideal_tok_s(self) -> float:
        """Of a closed loop that loses no time."""
        return self.pace.output_tok_s(self.concurrency, self.osl)

    @property
    def ideal_s(self) -> float:
        """How long a run then takes."""
        return self.waves * self.pace.answer_s(self.osl)

    def base(self) -> Scenario:
        """The tiny run whose cost is taken off: one short answer per stream, so that as many workers start."""
        return replace(self, name=f"{self.name}-base", chunks=2, waves=1)


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="c64", concurrency=64, step_ms=20.0, tokens_per_chunk=1.0, chunks=200, waves=5),
        Scenario(name="c64-mtp", concurrency=64, step_ms=20.0, tokens_per_chunk=2.6, chunks=200, waves=5),
        Scenario(name="c256", concurrency=256, step_ms=20.0, tokens_per_chunk=1.0, chunks=200, waves=5),
        Scenario(name="c256-mtp", concurrency=256, step_ms=20.0, tokens_per_chunk=2.6, chunks=200, waves=5),
        # The same, but no two streams send at the same moment.
        Scenario(
            name="c64-apart", concurrency=64, step_ms=20.0, tokens_per_chunk=1.0, chunks=200, waves=5, stagger_ms=20
        ),
        Scenario(
            name="c256-apart", concurrency=256, step_ms=20.0, tokens_per_chunk=1.0, chunks=200, waves=5, stagger_ms=20
        ),
        Scenario(name="c1024", concurrency=1024, step_ms=100.0, tokens_per_chunk=1.0, chunks=200, waves=2),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One tool in one round of one scenario: its run, and its base run."""

    scenario: Scenario
    tool: str
    round: int
    meter: Meter
    truth: dict[str, Any]
    reported: Reported | None
    trouble: str
    """Why nothing is reported; empty when something is."""
    base_cpu_s: float
    base_chunks: int

    def line(self) -> str:
        """As JSON, in one line."""
        return json.dumps(asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Record:
        """Read what `line` wrote."""
        fields = json.loads(line)
        fields["scenario"] = Scenario(**fields["scenario"])
        fields["meter"] = Meter(**fields["meter"])
        fields["reported"] = Reported(**fields["reported"]) if fields["reported"] else None
        return cls(**fields)

    @property
    def cpu_us(self) -> float | None:
        """CPU of the process tree per chunk, beyond the base run's."""
        chunks = self.truth["chunks"] - self.base_chunks
        return 1e6 * (self.meter.cpu_s - self.base_cpu_s) / chunks if chunks > 0 else None

    @property
    def lost_share(self) -> float | None:
        """Of the closed loop's ideal throughput, by the server's own count."""
        judged = self.truth["judged"]
        return 1 - judged["output_tok_s"] / self.scenario.ideal_tok_s if judged else None

    def true(self, name: str) -> float | None:
        """A figure of the server."""
        judged = self.truth["judged"]
        return judged[name] if judged else None

    def says(self, name: str) -> float | None:
        """A figure of the tool."""
        return getattr(self.reported, name) if self.reported else None

    @property
    def failed(self) -> int:
        """Streams that the client cut, requests that it says failed, and those that it never sent."""
        completed: int = self.truth["completed"]
        lost: int = self.truth["lost"]
        return max(self.scenario.requests - completed, lost, self.reported.failed if self.reported else 0)


def read_records(path: Path) -> list[Record]:
    """All records of a file."""
    return [Record.of_line(line) for line in path.read_text().splitlines()]


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    value: Callable[[Record], float | None]
    form: str


_COLUMNS = (
    _Column("CPU µs/chunk", lambda r: r.cpu_us, ".1f"),
    _Column("fixed CPU s", lambda r: r.base_cpu_s, ".2f"),
    _Column("TTFT mean ms", lambda r: r.says("ttft_mean_ms"), ".1f"),
    _Column("p50", lambda r: r.says("ttft_p50_ms"), ".1f"),
    _Column("true mean", lambda r: r.true("ttft_mean_ms"), ".1f"),
    _Column("TPOT p50 ms", lambda r: r.says("tpot_p50_ms"), ".3f"),
    _Column("true p50", lambda r: r.true("tpot_p50_ms"), ".3f"),
    _Column("tok/s", lambda r: r.says("output_tok_s"), ".0f"),
    _Column("true", lambda r: r.true("output_tok_s"), ".0f"),
    _Column("lost", lambda r: r.lost_share, ".2%"),
    _Column("failed", lambda r: r.failed, ".0f"),
    _Column("connections", lambda r: r.truth["connections"], ".0f"),
    _Column("blocked sends", lambda r: r.truth["blocked"], ".0f"),
    _Column("others' CPU s", lambda r: r.meter.others_cpu_s, ".1f"),
    _Column("steal s", lambda r: r.meter.steal_s, ".1f"),
    _Column("load1", lambda r: r.meter.load1, ".1f"),
)


def markdown(records: Sequence[Record], left_out: Iterable[str]) -> str:
    """A table per scenario: medians over the rounds, and ratios of CPU per chunk to ours and to the peer's."""
    parts = []
    for name in dict.fromkeys(record.scenario.name for record in records):
        of_scenario = [record for record in records if record.scenario.name == name]
        parts.append(_scenario(of_scenario))
    missing = [f"- {line}" for line in left_out]
    if missing:
        parts.append("\n".join(["Left out:", "", *missing]))
    return "\n\n".join(parts) + "\n"


def _scenario(records: Sequence[Record]) -> str:
    scenario = records[0].scenario
    rounds = len({record.round for record in records})
    titles = ["tool", "÷ ours", "÷ vLLM", *(column.title for column in _COLUMNS)]
    lines = [
        f"## {scenario.name}",
        "",
        _described(scenario, rounds),
        "",
        "| " + " | ".join(titles) + " |",
        "|---" * len(titles) + "|",
    ]
    tools = list(dict.fromkeys(record.tool for record in records))
    of_tool = {tool: [record for record in records if record.tool == tool] for tool in tools}
    cpu = {tool: _median(_COLUMNS[0], of_tool[tool]) for tool in tools}
    notes = []
    for tool in tools:
        cells = [_ratio(cpu[tool], cpu.get(OURS)), _ratio(cpu[tool], cpu.get(PEER))]
        for column in _COLUMNS:
            value = _median(column, of_tool[tool])
            cells.append("-" if value is None else format(value, column.form))
        lines.append(f"| {tool} | " + " | ".join(cells) + " |")
        notes += [f"{tool}, round {r.round + 1}: {r.trouble}" for r in of_tool[tool] if r.trouble]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _described(scenario: Scenario, rounds: int) -> str:
    mean_ttft_ms = scenario.ttft_ms + scenario.stagger_ms / 2
    return (
        f"C={scenario.concurrency}, a chunk of {scenario.tokens_per_chunk:g} tokens every {scenario.step_ms:g} ms, "
        f"starts up to {scenario.stagger_ms:g} ms apart, TTFT {mean_ttft_ms:g} ms, {scenario.osl} tokens out, "
        f"{scenario.requests} requests; ideal {scenario.ideal_tok_s:.0f} tok/s; medians of {rounds} round(s)."
    )


def _median(column: _Column, records: Sequence[Record]) -> float | None:
    values = [value for record in records if (value := column.value(record)) is not None]
    return statistics.median(values) if values else None


def _ratio(value: float | None, other: float | None) -> str:
    return f"{value / other:.2f}" if value and other else "-"
