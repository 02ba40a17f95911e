"""Load generators against a server of known timing, in turn: what a chunk costs each, and what each says of the server.

    SPECDEC_PEERS=FOLDER python tests/benchmark/peers.py --scenarios c64 c256 --rounds 3
    python tests/benchmark/peers.py --table tests/benchmark/results/peers.jsonl

Every tool runs once per round and scenario, in an order that turns by one from round to round, and once more as a tiny
base run (one answer of two chunks per stream), whose CPU is taken off: what is left is the cost of streaming. One more
tiny run of each comes before everything and is not counted: it fills the caches of files and byte code.

Each run goes to a line of JSON as soon as it is over; the table is made anew from all lines after each. Tools that are
not installed are named as left out. How to install them, and how each number is defined: tests/benchmark/README.md.

Run it on a machine that has nothing else to do. A full run of five scenarios, eight tools and three rounds takes two to
three hours.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metering import Meter, adopt_orphans, measure
from records import SCENARIOS, Record, Scenario, markdown, read_records
from ruler import Ruler, serving
from tools import TOOLS, Job, Reported, Tool
from word_tokenizer import write_word_tokenizer

_RESULTS = Path(__file__).with_name("results")
_START_S = 180.0
"""What a tool may take beside the load itself; the slowest starts ten worker processes."""
_SLOWEST = 5.0
"""Times the ideal duration, after which a tool is stopped."""


@dataclass(frozen=True, slots=True)
class _Run:
    meter: Meter
    truth: dict[str, Any]
    reported: Reported | None
    trouble: str


@dataclass(slots=True)
class _Bench:
    folder: Path
    tokenizer: Path
    patience_s: float
    bases: dict[tuple[str, int, int], _Run] = field(default_factory=dict)
    """By tool, concurrency and round: the pace of the server makes no difference to it."""

    def warm(self, tools: Sequence[Tool], scenario: Scenario) -> None:
        """Run each tool once for nothing: the first run compiles byte code and reads files from the disk."""
        with serving(scenario.pace) as ruler:
            for tool in tools:
                self._run(tool, scenario.base(), ruler)

    def record(self, tool: Tool, scenario: Scenario, number: int, ruler: Ruler) -> Record:
        key = (tool.name, scenario.concurrency, number)
        if key not in self.bases:
            self.bases[key] = self._run(tool, scenario.base(), ruler)
        base = self.bases[key]
        run = self._run(tool, scenario, ruler)
        return Record(
            scenario=scenario,
            tool=tool.name,
            round=number,
            meter=run.meter,
            truth=run.truth,
            reported=run.reported,
            trouble=run.trouble or (f"base run: {base.trouble}" if base.trouble else ""),
            base_cpu_s=base.meter.cpu_s,
            base_chunks=base.truth["chunks"],
        )

    def _run(self, tool: Tool, scenario: Scenario, ruler: Ruler) -> _Run:
        folder = self.folder / tool.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        log = self.folder / f"{tool.name}.log"
        job = Job(
            url=ruler.url,
            concurrency=scenario.concurrency,
            requests=scenario.requests,
            isl=scenario.isl,
            osl=scenario.osl,
            folder=folder,
            tokenizer=self.tokenizer,
        )
        ruler.reset()
        meter = measure(
            tool.command(job),
            environment=tool.environment,
            folder=folder,
            log=log,
            seconds=_START_S + _SLOWEST * scenario.ideal_s,
            server_pid=ruler.pid,
            patience_s=self.patience_s,
        )
        truth = ruler.truth(scenario.requests)
        try:
            return _Run(meter, truth, tool.read(folder), "")
        except (OSError, KeyError, ValueError, TypeError, StopIteration, IndexError) as error:
            said = " / ".join(log.read_text(errors="replace").split("\n")[-6:])[-400:]
            ended = "stopped: its time was over" if meter.exit_code == -1 else f"exit code {meter.exit_code}"
            return _Run(meter, truth, None, f"no result ({ended}; {type(error).__name__}: {error}): {said}")


def bench(options: argparse.Namespace) -> None:
    """Run everything that was asked for, and write after each run."""
    chosen = [TOOLS[name] for name in options.tools]
    left_out = [f"{tool.name}: {why}" for tool in chosen if (why := tool.left_out())]
    tools = [tool for tool in chosen if not tool.left_out()]
    for line in left_out:
        sys.stderr.write(f"left out: {line}\n")
    adopt_orphans()
    options.results.mkdir(parents=True, exist_ok=True)
    lines = options.results / f"{options.label}.jsonl"
    lines.unlink(missing_ok=True)
    records: list[Record] = []
    with tempfile.TemporaryDirectory(prefix="specdec-peers-") as name:
        folder = Path(name)
        bench = _Bench(folder, write_word_tokenizer(folder / "tokenizer"), options.patience)
        bench.warm(tools, SCENARIOS[options.scenarios[0]])
        for scenario in (SCENARIOS[name] for name in options.scenarios):
            load = scenario if options.waves is None else replace(scenario, waves=options.waves)
            with serving(load.pace) as ruler:
                for number in range(options.rounds):
                    turn = number % len(tools)
                    for tool in (*tools[turn:], *tools[:turn]):
                        record = bench.record(tool, load, number, ruler)
                        records.append(record)
                        with lines.open("a") as file:
                            file.write(record.line() + "\n")
                        lines.with_suffix(".md").write_text(markdown(records, left_out))
                        sys.stderr.write(f"{_told(record)}\n")
    sys.stdout.write(markdown(records, left_out))


def _told(record: Record) -> str:
    cpu = "no chunks" if record.cpu_us is None else f"{record.cpu_us:.1f} us/chunk"
    wall = f"{record.meter.wall_s:.0f} s"
    return f"{record.scenario.name} round {record.round + 1} {record.tool}: {cpu}, {wall} {record.trouble}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waves", type=int, help="requests per stream, instead of the scenario's own number")
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds to wait before a run for the machine to be idle"
    )
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder to write to")
    parser.add_argument("--label", default="peers", help="name of the files there")
    parser.add_argument("--table", type=Path, metavar="JSONL", help="only print the table of an earlier run")
    options = parser.parse_args(arguments)
    if options.table:
        sys.stdout.write(markdown(read_records(options.table), []))
    else:
        bench(options)


if __name__ == "__main__":
    main()
