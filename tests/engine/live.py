"""A real vLLM with the tiny model, for tests and scripts that talk to it themselves."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from pytest_specdec.domain.acceptance import Acceptance, acceptance_from
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
from pytest_specdec.domain.traffic import Traffic
from pytest_specdec.engine.counters import EngineReading
from pytest_specdec.engine.endpoint import Endpoint, Served, wait_until_idle
from pytest_specdec.engine.launch import LaunchedEngines
from pytest_specdec.engine.registry import LAUNCHERS
from pytest_specdec.engine.template import Template
from pytest_specdec.estimators.window import Reviewer, StopRule
from pytest_specdec.load.point import Limits, put_under_load
from pytest_specdec.load.target import Target
from pytest_specdec.load.writers import PromptWriter

PYTHON = os.environ.get("SPECDEC_VLLM_PYTHON", "")
HERE = Path(__file__).parent
MODEL = HERE / "tiny-mimo-mtp"
ARGUMENTS = "--dtype float32 --max-model-len 1024 --max-num-seqs 16 --enforce-eager --kv-cache-memory-bytes 67108864"
ENTRY = HERE / "vllm_entry.py"
RECIPE = LAUNCHERS["vllm"].choose("").start.replace("{vllm_entry}", shlex.quote(str(ENTRY)))
SUITE = ("tiny.ini", "conftest.py", "vllm_entry.py", "vllm_cpu_synthetic.py", "suite_tiny.py")
"""Files of the tiny suite, to be copied into a folder of its own."""


def engine(mtp: int, model: Path = MODEL) -> EngineSpec:
    """The specification under which a model is served."""
    return EngineSpec(model=str(model), precision="fp32", parallelism="tp1", mtp=mtp)


@contextmanager
def serving(spec: EngineSpec, logs: Path, arguments: str = "", command: str = RECIPE) -> Iterator[Endpoint]:
    """Have vLLM up with the tiny model's settings."""
    engines = LaunchedEngines(
        template=lambda _, __: Template(start=command),
        python=PYTHON,
        arguments=f"{ARGUMENTS} {arguments}",
        timeout_s=600,
        logs=logs,
    )
    with engines.open(spec, print) as running:
        yield running.endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A point of which every request finished, with the server's counters before and after."""

    served: Served
    traffic: Traffic
    before: EngineReading
    after: EngineReading

    @property
    def acceptance(self) -> Acceptance | None:
        """By the server's counters."""
        if self.before.speculation is None or self.after.speculation is None:
            return None
        return acceptance_from(self.after.speculation - self.before.speculation)

    @property
    def output_tok_s(self) -> float:
        """Whole run, as peers define it: all output tokens / (last answer's end - first request's start)."""
        samples = self.traffic.samples
        seconds = max(s.chunk_s[-1] for s in samples) - min(s.start_s for s in samples)
        return float(sum(s.output_tokens for s in samples) / seconds)

    @property
    def tpot_p50_ms(self) -> float:
        """Whole run: median over all requests of (E2E - TTFT) / (output tokens - 1)."""
        samples = [s for s in self.traffic.samples if s.output_tokens > 1]
        return 1000 * float(np.median([(s.chunk_s[-1] - s.chunk_s[0]) / (s.output_tokens - 1) for s in samples]))


async def drained(  # noqa: PLR0913 - a point is all of these
    endpoint: Endpoint,
    model: str,
    workload: Workload,
    concurrency: int,
    *,
    seconds: float,
    writer: PromptWriter | None = None,
) -> Drained:
    """Measure one point and let every stream finish."""
    served = await endpoint.introspect(model)
    target = Target(base_url=endpoint.url, model=served.model, continuous_usage=False)
    writer = writer.retargeted(target) if writer else await PromptWriter.calibrate(target, workload)
    before = await wait_until_idle(endpoint, served.adapter, seconds=10)
    limits = Limits(settle_s=0.5, warm_up_s=5, no_progress_s=60, deadline_s=300)
    review = Reviewer(StopRule(floor_s=seconds, ceiling_s=seconds, precision=0.01), workload)
    cell = Cell(engine(0), workload, concurrency)
    result = await put_under_load(target, cell, writer, limits=limits, review=review)
    after = await wait_until_idle(endpoint, served.adapter, seconds=60)
    return Drained(served=served, traffic=result.traffic, before=before, after=after)


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of the ratios of pairs, with its 95 % t interval: (mean, low, high)."""
    logs = np.log(np.array(first) / np.array(second))
    half = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    mean = float(logs.mean())
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))
