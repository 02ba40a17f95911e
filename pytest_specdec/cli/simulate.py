"""`specdec simulate`: the simulated engine, started by hand."""

from __future__ import annotations

import argparse
from dataclasses import fields

from pytest_specdec.cli.verb import Verb
from pytest_specdec.pipeline.option_values import positive


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from pytest_specdec.simulator.dialects.registry import DIALECTS

    parser.add_argument(
        "--preset", default="h200-qwen3.5-397b-fp8", help="simulated hardware and model (default: %(default)s)"
    )
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
        help=f"engine whose endpoints, metrics and behaviour to imitate: {', '.join(DIALECTS)} (default: %(default)s)",
    )
    parser.add_argument("--acceptance", type=positive, metavar="LENGTH", help="pin the acceptance length")
    parser.add_argument("--stream-interval", type=int, default=1, metavar="N", help="engine steps per chunk")
    parser.add_argument("--max-running", type=int, metavar="N", help="maximum running requests; further ones wait")
    for part, text in (
        ("metrics", "serve no metrics, as some engines do by default"),
        ("control", "hide what vLLM serves in development mode only"),
        ("details", "no acceptance per request in the responses"),
    ):
        parser.add_argument(f"--no-{part}", dest=part, action="store_false", help=text)
    parser.add_argument(
        "--prompt-spread", type=float, default=0, metavar="S", help="spread of acceptance over prompts (0.6: by 13 %%)"
    )
    parser.add_argument("--fault", metavar="ID[@LEVEL]", help="reproduce a published regression; `list` prints all")
    parser.add_argument("--speed", type=positive, default=1.0, help="time scale; 10 is ten times real time")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when the process that started it ends")


def _run(options: argparse.Namespace) -> None:
    from pytest_specdec.simulator.faults.catalogue import FAULTS
    from pytest_specdec.simulator.server import SimulatorOptions, serve

    if options.fault == "list":
        for fault in FAULTS.values():
            print(f"{fault.id:<30} {fault.what}: {fault.magnitude}")
        return
    given = {each.name: getattr(options, each.name) for each in fields(SimulatorOptions) if hasattr(options, each.name)}
    serve(SimulatorOptions(**given))


VERB = Verb("simulate", "start the simulated engine by hand", _run, _add_arguments)
