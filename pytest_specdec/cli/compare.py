"""`specdec compare`: two saved runs, two results of one load generator, or MTP with Off in published results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_specdec.cli.output import add_outputs, emit
from pytest_specdec.cli.verb import Verb
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.pipeline.option_values import count, positive
from pytest_specdec.report.formats import FORMATS, Compared

if TYPE_CHECKING:
    from pytest_specdec.domain.price import Price
    from pytest_specdec.importers.definitions import Meaning
    from pytest_specdec.importers.inferencex import PublishedPoint
    from pytest_specdec.importers.selection import Selection

_DESCRIPTION = """\
Compare two saved runs (reference engine, then candidate engine), two results of one load generator, or MTP with Off in
published InferenceX result files. The kind of a file is read from its content.

  specdec compare .specdec/runs/OLD.json .specdec/runs/NEW.json
  specdec compare 'off_c*.json' 'mtp_c*.json' --gpus 8
  specdec compare artifacts/old/ artifacts/new/ --gpus 8
  specdec compare benchmarks.json --where engine=sglang --where date=2026-05-17,2026-05-20 --at 50 --at 67 --at 84
  specdec compare benchmarks.json --where engine=sglang --off date=2026-05-17 --mtp date=2026-05-20

Load generators: `vllm bench serve --save-result` (also --append-result, and the folder of a sweep), SGLang's
bench_serving --output-file (JSON lines), and AIPerf's profile_export_aiperf.json. A sweep over concurrency is one
side: a file with several results, a folder, or a quoted pattern. Runs at one concurrency are averaged. The two sides
must come from one tool: tools count and time differently, so a mixture, also with a saved run, is refused with the
reason (docs/importing.md). --gpus gives the number of GPUs where the files do not; --where, --off, --mtp and the like
select InferenceX rows only.
"""

_SHORT = {"framework": "engine"}
_FIELDS = "model, hardware, precision, parallelism, sequence, engine (framework), version, date"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="two of one kind, or InferenceX results")
    parser.add_argument(
        "--at",
        action="append",
        type=positive,
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
        parser.add_argument(f"--{name}", type=_values, metavar="VALUE[,VALUE]", help=f"short for --where {name}=VALUE")
    parser.add_argument("--gpus", type=count, metavar="N", help="GPUs of the engine, for load generators' results")
    parser.add_argument("--gpu-hour-usd", type=positive, metavar="USD", help="price per GPU-hour (with --gpu-kw)")
    parser.add_argument("--gpu-kw", type=positive, metavar="KW", help="all-in kW per GPU (with --gpu-hour-usd)")
    add_outputs(parser, [one for one in FORMATS if one.compared])


def _run(options: argparse.Namespace) -> None:
    from pytest_specdec.importers.definitions import SPECDEC
    from pytest_specdec.importers.detect import meaning_of

    meanings = [meaning_of(path) for path in options.files]
    runs = [meaning == SPECDEC for meaning in meanings]
    if None in meanings:
        _compare_peers(options, meanings)
    elif any(runs):
        if not all(runs) or len(runs) != 2:
            kinds = [f"{path} ({'run' if run else 'results'})" for path, run in zip(options.files, runs, strict=True)]
            raise InvalidInputError(f"compare takes two saved runs, or published results only; got {', '.join(kinds)}")
        _compare_runs(options)
    else:
        _compare_published(options)


def _compare_runs(options: argparse.Namespace) -> None:
    from pytest_specdec.report.two_runs import compare_runs
    from pytest_specdec.results.run import load_run

    old, new = (load_run(path) for path in options.files)
    emit(options, Compared(*compare_runs(old, new, options.at), options.at, new, old))


def _compare_peers(options: argparse.Namespace, meanings: list[Meaning | None]) -> None:
    from pytest_specdec.importers.curves import compare_peers, join
    from pytest_specdec.importers.definitions import refuse_other_tool
    from pytest_specdec.importers.detect import load_peers
    from pytest_specdec.report.peer_report import peer_report

    if len(options.files) != 2:
        raise InvalidInputError(
            f"compare takes two sides of one load generator, got {len(options.files)}; give a side of several files "
            "as a folder or a quoted pattern: specdec compare 'off_c*.json' 'mtp_c*.json'"
        )
    selection = _selection(options)
    if selection.both or selection.off or selection.mtp:
        raise InvalidInputError("--where, --off, --mtp, --model and the like select InferenceX rows only")
    sides = [load_peers(path) if meaning is None else [] for path, meaning in zip(options.files, meanings, strict=True)]
    refuse_other_tool(*(meaning or side[0].meaning for meaning, side in zip(meanings, sides, strict=True)))
    old, new = (join(side, options.gpus) for side in sides)
    compared = compare_peers(old, new, _price(options))
    emit(options, Compared(*peer_report(compared, old, new, options.at), options.at))


def _compare_published(options: argparse.Namespace) -> None:
    from pytest_specdec.importers.inferencex import load_inferencex
    from pytest_specdec.importers.selection import published_comparisons
    from pytest_specdec.report.comparison_table import comparison_table

    points: list[PublishedPoint] = [point for path in options.files for point in load_inferencex(path)]
    comparisons, one_sided = published_comparisons(points, _selection(options), _price(options))
    tables = [comparison_table(comparison, options.at) for comparison in comparisons]
    remarks = [f"not compared: {reason}" for reason in one_sided]
    emit(options, Compared(comparisons, tables, remarks, options.at))


def _selection(options: argparse.Namespace) -> Selection:
    from pytest_specdec.importers.selection import Selection

    both: dict[str, list[str]] = {}
    for name, values in options.where:
        both.setdefault(name, []).extend(values)
    for name in ("model", "hardware", "precision", "sequence", "framework", "date"):
        if (values := getattr(options, name)) is not None:
            both.setdefault(_SHORT.get(name, name), []).extend(values)
    return Selection(both=both, off=_joined(options.off), mtp=_joined(options.mtp))


def _joined(conditions: list[tuple[str, list[str]]]) -> dict[str, list[str]]:
    joined: dict[str, list[str]] = {}
    for name, values in conditions:
        joined.setdefault(name, []).extend(values)
    return joined


def _price(options: argparse.Namespace) -> Price | None:
    from pytest_specdec.domain.price import Price

    given = (options.gpu_hour_usd, options.gpu_kw)
    if given == (None, None):
        return None
    if None in given:
        raise InvalidInputError("give --gpu-hour-usd and --gpu-kw together: cost needs one, tok/s/MW the other")
    return Price(usd_per_gpu_hour=given[0], kw_per_gpu=given[1])


def _values(text: str) -> list[str]:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give a value, or several with commas between them")
    return text.split(",")


def _condition(text: str) -> tuple[str, list[str]]:
    from pytest_specdec.importers.selection import FILTERS

    name, sign, values = text.partition("=")
    name = _SHORT.get(name, name)
    if not sign or not values or name not in FILTERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE with FIELD one of {', '.join(FILTERS)}")
    return name, values.split(",")


VERB = Verb(
    "compare",
    "compare two saved runs, two results of one load generator, or MTP with Off in published results",
    _run,
    _add_arguments,
    description=_DESCRIPTION,
)
