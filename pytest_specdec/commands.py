"""The commands of `specdec`: arguments in, text out; the work is done by the core and by report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.errors import InvalidInputError

if TYPE_CHECKING:
    from pytest_specdec.comparison import Comparison
    from pytest_specdec.cost import Price
    from pytest_specdec.report.render import Table
    from pytest_specdec.sources.inferencex import PublishedPoint
    from pytest_specdec.sources.selection import Selection

_COMPARE = """\
Compare two saved runs (old engine, then new engine), or MTP with Off in published InferenceX result files.

  specdec compare .specdec/runs/OLD.json .specdec/runs/NEW.json
  specdec compare benchmarks.json --where engine=sglang --where date=2026-05-17,2026-05-20 --at 50 --at 67 --at 84
  specdec compare benchmarks.json --where engine=sglang --off date=2026-05-17 --mtp date=2026-05-20
"""

_FIELDS = "model, hardware, precision, parallelism, sequence, engine (framework), version, date"


def add_compare(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec compare`."""
    parser = verbs.add_parser(
        "compare",
        help="compare two saved runs, or MTP with Off in published results",
        description=_COMPARE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="two saved runs, or InferenceX results")
    parser.add_argument(
        "--at",
        action="append",
        type=_positive,
        metavar="TOK_S_USER",
        help="interactivity at which to compare; repeat for several (default: 25, 50 and 75 %% of the overlap)",
    )
    for side, what in (("where", "every row"), ("off", "Off rows only"), ("mtp", "MTP rows only")):
        parser.add_argument(
            f"--{side}",
            action="append",
            default=[],
            type=_condition,
            metavar="FIELD=VALUE[,VALUE]",
            help=f"keep {what} with one of these values; FIELD is {_FIELDS}",
        )
    for name in ("model", "hardware", "precision", "sequence", "framework", "date"):
        parser.add_argument(f"--{name}", metavar="VALUE[,VALUE]", help=f"short for --where {name}=VALUE")
    parser.add_argument("--gpu-hour-usd", type=_positive, metavar="USD", help="price per GPU-hour (with --gpu-kw)")
    parser.add_argument("--gpu-kw", type=_positive, metavar="KW", help="all-in kW per GPU (with --gpu-hour-usd)")
    _add_outputs(parser)
    parser.set_defaults(run=_compare)


def add_report(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec report`."""
    parser = verbs.add_parser("report", help="print or write any output of a saved run again")
    parser.add_argument("saved_run", type=Path, metavar="RUN", help="a file in .specdec/runs/")
    parser.add_argument("--at", action="append", type=_positive, metavar="TOK_S_USER", help="levels to compare at")
    _add_outputs(parser)
    parser.set_defaults(run=_report)


def add_simulate(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec simulate`."""
    parser = verbs.add_parser("simulate", help="start the simulated engine by hand")
    parser.add_argument("--preset", default="h200-qwen3.5-397b-fp8", help="what to simulate (default: %(default)s)")
    parser.add_argument("--mtp", type=int, default=0, metavar="K", help="draft tokens per step; 0 is Off (default)")
    parser.add_argument("--model", help="served model name (default: the preset's)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--api-key", help="require this bearer token")
    parser.add_argument("--seed", type=int, default=0, help="seed of the acceptance draws (default: %(default)s)")
    parser.add_argument(
        "--dialect",
        default="vllm",
        metavar="ENGINE",
        help="engine whose endpoints, metrics and habits to show: vllm (default), sglang, trtllm",
    )
    parser.add_argument("--acceptance", type=_positive, metavar="LENGTH", help="pin the acceptance length")
    parser.add_argument("--stream-interval", type=int, default=1, metavar="N", help="engine steps per chunk")
    parser.add_argument("--max-running", type=int, metavar="N", help="requests that run at a time; more wait")
    parser.add_argument("--no-metrics", action="store_true", help="metrics off, as some engines have it by default")
    parser.add_argument("--no-control", action="store_true", help="hide what vLLM shows in development mode only")
    parser.add_argument("--fault", metavar="ID[@LEVEL]", help="break it as a published regression did; `list`: all")
    parser.add_argument("--speed", type=_positive, default=1.0, help="time scale; 10 is ten times real time")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when the process that started it ends")
    parser.set_defaults(run=_simulate)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    for suffix, what in (("md", "Markdown"), ("csv", "CSV"), ("json", "JSON")):
        parser.add_argument(f"--{suffix}", type=Path, metavar="FILE", help=f"also write {what}")


def _compare(options: argparse.Namespace) -> None:
    from pytest_specdec.run import is_run

    contents = [_head(path) for path in options.files]
    runs = [is_run(content) for content in contents]
    if any(runs):
        if not all(runs) or len(runs) != 2:
            raise InvalidInputError(
                "compare takes two saved runs, or published results only; got "
                + ", ".join(
                    f"{path} ({'run' if run else 'results'})" for path, run in zip(options.files, runs, strict=True)
                )
            )
        _compare_runs(options)
    else:
        _compare_published(options)


def _compare_runs(options: argparse.Namespace) -> None:
    from pytest_specdec.report.run_report import compare_runs
    from pytest_specdec.run import load_run

    old, new = (load_run(path) for path in options.files)
    _emit(options, *compare_runs(old, new, options.at))


def _compare_published(options: argparse.Namespace) -> None:
    from pytest_specdec.report.comparison_table import comparison_table
    from pytest_specdec.sources.inferencex import load_inferencex
    from pytest_specdec.sources.selection import published_comparisons

    points: list[PublishedPoint] = [point for path in options.files for point in load_inferencex(path)]
    comparisons, one_sided = published_comparisons(points, _selection(options), _price(options))
    tables = [comparison_table(comparison, options.at) for comparison in comparisons]
    _emit(options, comparisons, tables, [f"not compared: {reason}" for reason in one_sided])


def _report(options: argparse.Namespace) -> None:
    from pytest_specdec.report.run_report import report_run
    from pytest_specdec.run import load_run

    _emit(options, *report_run(load_run(options.saved_run), options.at))


def _simulate(options: argparse.Namespace) -> None:
    from pytest_specdec.simulator.faults import FAULTS
    from pytest_specdec.simulator.server import SimulatorOptions, serve

    if options.fault == "list":
        for fault in FAULTS.values():
            print(f"{fault.id:<30} {fault.what}: {fault.magnitude}")
        return
    serve(
        SimulatorOptions(
            preset=options.preset,
            mtp=options.mtp,
            model=options.model,
            host=options.host,
            port=options.port,
            api_key=options.api_key,
            seed=options.seed,
            dialect=options.dialect,
            acceptance=options.acceptance,
            stream_interval=options.stream_interval,
            max_running=options.max_running,
            metrics=not options.no_metrics,
            control=not options.no_control,
            speed=options.speed,
            fault=options.fault,
            exit_with_parent=options.exit_with_parent,
        )
    )


def _emit(options: argparse.Namespace, comparisons: list[Comparison], tables: list[Table], remarks: list[str]) -> None:
    from pytest_specdec.report.export import write_outputs
    from pytest_specdec.report.render import terminal

    print("\n\n".join([*(terminal(table) for table in tables), *remarks]))
    outputs = {suffix: path for suffix in ("md", "csv", "json") if (path := getattr(options, suffix)) is not None}
    for path in write_outputs(outputs, comparisons, tables, remarks, options.at):
        print(f"wrote {path}")


def _selection(options: argparse.Namespace) -> Selection:
    from pytest_specdec.sources.selection import Selection

    both: dict[str, list[str]] = {}
    for name, values in options.where:
        both.setdefault(name, []).extend(values)
    for name in ("model", "hardware", "precision", "sequence", "framework", "date"):
        if (value := getattr(options, name)) is not None:
            field, values = _condition(f"{name}={value}")
            both.setdefault(field, []).extend(values)
    return Selection(both=both, off=_joined(options.off), mtp=_joined(options.mtp))


def _joined(conditions: list[tuple[str, list[str]]]) -> dict[str, list[str]]:
    joined: dict[str, list[str]] = {}
    for name, values in conditions:
        joined.setdefault(name, []).extend(values)
    return joined


def _price(options: argparse.Namespace) -> Price | None:
    from pytest_specdec.cost import Price

    given = (options.gpu_hour_usd, options.gpu_kw)
    if given == (None, None):
        return None
    if None in given:
        raise InvalidInputError("give --gpu-hour-usd and --gpu-kw together: cost needs one, tok/s/MW the other")
    return Price(usd_per_gpu_hour=given[0], kw_per_gpu=given[1])


def _head(path: Path) -> bytes:
    from pytest_specdec.errors import BrokenFileError

    try:
        with path.open("rb") as file:
            return file.read(200)
    except OSError as error:
        raise BrokenFileError(f"cannot read {path}: {error.strerror}") from error


def _condition(text: str) -> tuple[str, list[str]]:
    from pytest_specdec.sources.selection import FILTERS

    name, sign, values = text.partition("=")
    name = {"framework": "engine"}.get(name, name)
    if not sign or not values or name not in FILTERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE with FIELD one of {', '.join(FILTERS)}")
    return name, values.split(",")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number
