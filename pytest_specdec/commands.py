"""The commands of `specdec`: arguments in, text out; the work is done by the core and by report."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.errors import InvalidInputError

if TYPE_CHECKING:
    from pytest_specdec.comparison import Comparison
    from pytest_specdec.cost import Price
    from pytest_specdec.peers.meaning import Meaning
    from pytest_specdec.report.render import Table
    from pytest_specdec.sources.inferencex import PublishedPoint
    from pytest_specdec.sources.selection import Selection

_COMPARE = """\
Compare two saved runs (old engine, then new engine), two results of one load generator, or MTP with Off in published
InferenceX result files. A file is known by its content.

  specdec compare .specdec/runs/OLD.json .specdec/runs/NEW.json
  specdec compare 'off_c*.json' 'mtp_c*.json' --gpus 8
  specdec compare artifacts/old/ artifacts/new/ --gpus 8
  specdec compare benchmarks.json --where engine=sglang --where date=2026-05-17,2026-05-20 --at 50 --at 67 --at 84
  specdec compare benchmarks.json --where engine=sglang --off date=2026-05-17 --mtp date=2026-05-20

Load generators: `vllm bench serve --save-result` (also --append-result, and the folder of a sweep), SGLang's
bench_serving --output-file (JSON lines), and AIPerf's profile_export_aiperf.json. A sweep over concurrency is one
side: a file with several results, a folder, or a quoted pattern. Runs at one concurrency are averaged. The two sides
must be of one tool: tools count and time differently, so a mixture, also with a saved run, is refused with the reason
(docs/importing.md). --gpus says how many GPUs there are where the files do not tell; --where, --off, --mtp and the
like choose among InferenceX rows only.
"""

_HISTORY = """\
Show a cell over engine versions and dates, from the runs that were saved in this checkout. Unlike things (workload,
hardware, engine, its settings, price) are never in one series.

  specdec history                       every cell, one line each
  specdec history 8k1k-mtp3-c16         one cell, run by run
  specdec history mtp3 c16 --metric acceptance_length
"""

_FIELDS = "model, hardware, precision, parallelism, sequence, engine (framework), version, date"


def add_compare(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec compare`."""
    parser = verbs.add_parser(
        "compare",
        help="compare two saved runs, two results of one load generator, or MTP with Off in published results",
        description=_COMPARE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="two of one kind, or InferenceX results")
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
    parser.add_argument("--gpus", type=_count, metavar="N", help="GPUs of the engine, for load generators' results")
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
    for name, what in (
        ("bmf", "Bencher Metric Format"),
        ("bigger", "github-action-benchmark's customBiggerIsBetter"),
        ("smaller", "github-action-benchmark's customSmallerIsBetter"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"also write {what}")
    parser.set_defaults(run=_report)


def add_history(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`specdec history`."""
    parser = verbs.add_parser(
        "history",
        help="show cells over the saved runs: dates, engine versions, uncertainty, verdicts",
        description=_HISTORY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "filters",
        nargs="*",
        metavar="CELL-FILTER",
        help="whole parts of cells' names: mtp3, 8k1k-mtp3, c16; all must be",
    )
    parser.add_argument(
        "--metric",
        default="total_tok_s_gpu",
        metavar="KEY",
        help="what to show, see docs/glossary.md (default: %(default)s)",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path(".specdec/runs"), metavar="FOLDER", help="saved runs (default: %(default)s)"
    )
    parser.add_argument(
        "--last", type=_count, default=20, metavar="N", help="newest runs of a cell (default: %(default)s)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page that opens offline")
    parser.set_defaults(run=_history)


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
    parser.add_argument(
        "--prompt-spread", type=float, default=0.0, metavar="S", help="let prompts differ in acceptance (0.6: by 13 %%)"
    )
    parser.add_argument("--no-details", action="store_true", help="no acceptance by request in the answers")
    parser.add_argument("--fault", metavar="ID[@LEVEL]", help="break it as a published regression did; `list`: all")
    parser.add_argument("--speed", type=_positive, default=1.0, help="time scale; 10 is ten times real time")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when the process that started it ends")
    parser.set_defaults(run=_simulate)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    for suffix, what in (("html", "a page that opens offline"), ("md", "Markdown"), ("csv", "CSV"), ("json", "JSON")):
        parser.add_argument(f"--{suffix}", type=Path, metavar="FILE", help=f"also write {what}")


def _compare(options: argparse.Namespace) -> None:
    from pytest_specdec.peers.meaning import SPECDEC
    from pytest_specdec.sources.kinds import meaning_of

    meanings = [meaning_of(path) for path in options.files]
    runs = [meaning == SPECDEC for meaning in meanings]
    if None in meanings:
        _compare_peers(options, meanings)
    elif any(runs):
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
    from pytest_specdec.report.html import page
    from pytest_specdec.report.run_report import compare_runs
    from pytest_specdec.run import load_run

    old, new = (load_run(path) for path in options.files)
    _emit(options, *compare_runs(old, new, options.at), page=lambda: page(new, options.at, old))


def _compare_peers(options: argparse.Namespace, meanings: list[Meaning | None]) -> None:
    from pytest_specdec.peers.curves import compare_peers, join
    from pytest_specdec.peers.meaning import refuse_other_tool
    from pytest_specdec.report.html import comparisons_page
    from pytest_specdec.report.peer_report import peer_report
    from pytest_specdec.sources.kinds import load_peers

    if len(options.files) != 2:
        raise InvalidInputError(
            f"compare takes two sides of one load generator, got {len(options.files)}; a side of several files is a "
            "folder or a quoted pattern: specdec compare 'off_c*.json' 'mtp_c*.json'"
        )
    selection = _selection(options)
    if selection.both or selection.off or selection.mtp:
        raise InvalidInputError("--where, --off, --mtp, --model and the like choose among InferenceX rows only")
    sides = [load_peers(path) if meaning is None else [] for path, meaning in zip(options.files, meanings, strict=True)]
    refuse_other_tool(*(meaning or side[0].meaning for meaning, side in zip(meanings, sides, strict=True)))
    old, new = (join(side, options.gpus) for side in sides)
    comparisons, tables, remarks = peer_report(compare_peers(old, new, _price(options)), old, new, options.at)
    _emit(options, comparisons, tables, remarks, page=lambda: comparisons_page(comparisons, options.at, remarks))


def _compare_published(options: argparse.Namespace) -> None:
    from pytest_specdec.report.comparison_table import comparison_table
    from pytest_specdec.report.html import comparisons_page
    from pytest_specdec.sources.inferencex import load_inferencex
    from pytest_specdec.sources.selection import published_comparisons

    points: list[PublishedPoint] = [point for path in options.files for point in load_inferencex(path)]
    comparisons, one_sided = published_comparisons(points, _selection(options), _price(options))
    tables = [comparison_table(comparison, options.at) for comparison in comparisons]
    remarks = [f"not compared: {reason}" for reason in one_sided]
    _emit(options, comparisons, tables, remarks, page=lambda: comparisons_page(comparisons, options.at, remarks))


def _report(options: argparse.Namespace) -> None:
    from pytest_specdec.files import write_whole
    from pytest_specdec.report.html import page
    from pytest_specdec.report.pull_request import pull_request_page
    from pytest_specdec.report.run_report import report_run
    from pytest_specdec.report.trackers import TRACKERS
    from pytest_specdec.run import load_run

    run = load_run(options.saved_run)
    markdown, options.md = options.md, None
    _emit(options, *report_run(run, options.at), page=lambda: page(run, options.at))
    if markdown is not None:
        write_whole(markdown, pull_request_page(run, options.at))
        print(f"wrote {markdown}")
    for ending, write in TRACKERS.items():
        path: Path | None = getattr(options, ending.split(".")[1])
        if path is not None:
            write_whole(path, write(run))
            print(f"wrote {path}")


def _history(options: argparse.Namespace) -> None:
    import shutil

    from pytest_specdec.history import history_series, read_runs
    from pytest_specdec.report.history_table import history_tables
    from pytest_specdec.report.render import terminal

    runs, skipped = read_runs(options.runs)
    series = history_series(runs, options.metric, options.filters)
    tables = history_tables(series, width=shutil.get_terminal_size().columns, last=options.last)
    remarks = [f"skipped: {reason}" for reason in skipped]
    if not series:
        named = f" of a cell with {' and '.join(options.filters)} in its name" if options.filters else ""
        remarks.insert(0, f"no {options.metric}{named} in the {len(runs)} runs of {options.runs}")
    print("\n\n".join([*(terminal(table) for table in tables), *remarks]))
    if options.html is not None:
        from pytest_specdec.files import write_whole
        from pytest_specdec.report.history_page import history_page

        write_whole(options.html, history_page(series, skipped))
        print(f"wrote {options.html}")


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
            details=not options.no_details,
            prompt_spread=options.prompt_spread,
            speed=options.speed,
            fault=options.fault,
            exit_with_parent=options.exit_with_parent,
        )
    )


def _emit(
    options: argparse.Namespace,
    comparisons: list[Comparison],
    tables: list[Table],
    remarks: list[str],
    page: Callable[[], str],
) -> None:
    from pytest_specdec.files import write_whole
    from pytest_specdec.report.export import write_outputs
    from pytest_specdec.report.render import screen_width, terminal

    width = screen_width()
    print("\n\n".join([*(terminal(table, width) for table in tables), *remarks]))
    outputs = {suffix: path for suffix in ("md", "csv", "json") if (path := getattr(options, suffix)) is not None}
    for path in write_outputs(outputs, comparisons, tables, remarks, options.at):
        print(f"wrote {path}")
    if options.html is not None:
        write_whole(options.html, page())
        print(f"wrote {options.html}")


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


def _condition(text: str) -> tuple[str, list[str]]:
    from pytest_specdec.sources.selection import FILTERS

    name, sign, values = text.partition("=")
    name = {"framework": "engine"}.get(name, name)
    if not sign or not values or name not in FILTERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE with FIELD one of {', '.join(FILTERS)}")
    return name, values.split(",")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number
