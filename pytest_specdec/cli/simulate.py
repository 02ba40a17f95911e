"""`specdec simulate`: the simulated engine, started by hand."""

from __future__ import annotations

import argparse

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
    parser.add_argument("--no-metrics", action="store_true", help="serve no metrics, as some engines do by default")
    parser.add_argument("--no-control", action="store_true", help="hide what vLLM serves in development mode only")
    parser.add_argument(
        "--prompt-spread",
        type=float,
        default=0.0,
        metavar="S",
        help="spread of acceptance between prompts (0.6: by 13 %%)",
    )
    parser.add_argument("--no-details", action="store_true", help="no acceptance per request in the responses")
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


VERB = Verb(name="simulate", help="start the simulated engine by hand", add_arguments=_add_arguments, run=_run)
