"""Published regressions that are no fault of the simulated engine, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Something published that is no fault of the simulated engine."""

    thread: str
    row: int | None
    what: str
    reason: str


UNSEEN = (
    Unseen(
        thread="vllm#46830",
        row=2,
        what="crash while the engine initialises with MTP 1, beside the accuracy loss of vllm#46834",
        reason="no endpoint exists yet; only the launcher sees it, as it sees start-fails",
    ),
    Unseen(
        thread="vllm#48517",
        row=15,
        what="the benchmark client did not ask for the full length",
        reason="a mistake of another client; its effect on the answers is that of stops-early",
    ),
    Unseen(
        thread="aiperf#1147",
        row=15,
        what="the benchmark client did not ask for the full length",
        reason="a mistake of another client; its effect on the answers is that of stops-early",
    ),
    Unseen(
        thread="sglang#35822",
        row=21,
        what="GPU at 100 % and 25 W while it hangs",
        reason="only GPU telemetry shows it, and this project has no GPU; the client sees it as hang",
    ),
    Unseen(
        thread="vllm#52536",
        row=None,
        what="random prompts are not representative",
        reason="a property of the workload, not of the engine",
    ),
    Unseen(
        thread="vllm#48915",
        row=None,
        what="no speculation metrics per request",
        reason="a missing feature: nothing gets slower or wrong",
    ),
    Unseen(
        thread="engines: no per-request off, no dynamic K with data parallelism",
        row=None,
        what="speculation cannot be switched off for one request, and not by batch size with several replicas",
        reason="missing features: nothing gets slower or wrong",
    ),
    Unseen(
        thread="vllm#53436",
        row=None,
        what="throughput and acceptance vary from run to run at temperature 0",
        reason="no regression: ordinary noise, see the controls",
    ),
)
