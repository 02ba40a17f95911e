"""The steady state that the simulator's step model has in a closed loop, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_specdec.domain.cell import Workload
from pytest_specdec.simulator.model import Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the closed form says of one cell."""

    total_tok_s_gpu: float
    tpot_s: float
    decoding: float
    """Mean number of sequences in a decode step."""


def closed_form(preset: Preset, workload: Workload, concurrency: int, mtp: int) -> Prediction:
    """Steady state of a closed loop of C requests.

    With request rate X, prefill share rho = X tp and TPOT = t(B, K) / (AL (1 - rho)), a request spends
    (osl - 1) TPOT decoding and waits one step in flight plus its own prefill before: B = C - X (t + tp).
    """
    isl, osl = (nominal * (1 + workload.shortest) / 2 for nominal in (workload.isl, workload.osl))
    length = preset.acceptance.length(mtp)
    prefill_s = preset.steps.prefill_s(isl)
    decoding = float(concurrency)
    rate = step_s = 0.0
    for _ in range(500):
        step_s = preset.steps.decode_s(decoding, mtp, decoding * (isl + osl / 2))
        # X (osl - 1) = B AL (1 - X tp) / t, solved for X.
        speed = decoding * length / step_s
        rate = speed / (osl - 1 + speed * prefill_s)
        decoding += 0.5 * (max(concurrency - rate * (step_s + prefill_s), 0.01) - decoding)
    tpot_s = step_s / (length * (1 - rate * prefill_s))
    return Prediction(total_tok_s_gpu=rate * (isl + osl) / preset.gpus, tpot_s=tpot_s, decoding=decoding)
