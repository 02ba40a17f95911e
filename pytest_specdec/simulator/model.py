"""Model of step times and of acceptance, and the closed form that follows for a closed loop.

Decode step of B sequences with K drafts, T = B (K + 1) tokens to verify:

    t(B, K) = fixed + experts U(T) + token T + draft K + context_token (cached tokens),  U(T) = 1 - (1 - routed/all)^T

U is the share of distinct experts that T tokens touch under uniform routing: it makes small batches of a
mixture-of-experts model cheap. Prefill runs one prompt at a time and blocks decoding.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_specdec.domain.cell import Workload
from pytest_specdec.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepModel:
    """Times in milliseconds."""

    fixed_ms: float
    experts_ms: float
    """A sweep over all experts."""
    token_ms: float
    """Per verified token."""
    draft_ms: float
    """Per draft token of the step."""
    prefill_token_ms: float
    """Per prompt token."""
    experts_routed: int
    experts_all: int
    context_token_ms: float = 0.0
    """Per cached token of the running sequences."""

    def decode_s(self, sequences: float, drafts: int, context_tokens: float = 0.0) -> float:
        """Seconds of one decode step."""
        tokens = sequences * (drafts + 1)
        touched = 1 - math.pow(1 - self.experts_routed / self.experts_all, tokens)
        milliseconds = (
            self.fixed_ms
            + self.experts_ms * touched
            + self.token_ms * tokens
            + self.draft_ms * drafts
            + self.context_token_ms * context_tokens
        )
        return milliseconds / 1000

    def prefill_s(self, prompt_tokens: float) -> float:
        """Seconds to prefill one prompt."""
        return self.prefill_token_ms * prompt_tokens / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceModel:
    """Unconditional acceptance by position: draft i is accepted with p_i, and only after all before it."""

    per_position: tuple[float, ...]
    prompt_spread: float = 0.0
    """Spread over prompts: the chance of a rejection is exp(N(0, spread)) times the common one, with mean 1."""

    @classmethod
    def pinned(cls, length: float, drafts: int) -> AcceptanceModel:
        """Acceptance that gives an exact mean length with the least variance, as engines' synthetic modes do.

        Raises:
            InvalidInputError: that length cannot be reached with so many drafts.
        """
        if not 1 <= length <= drafts + 1:
            raise InvalidInputError(f"acceptance length {length:g} cannot be reached with {drafts} draft tokens")
        return cls(per_position=tuple(min(max(length - 1 - i, 0.0), 1.0) for i in range(drafts)))

    def length(self, drafts: int) -> float:
        """Acceptance length with K drafts: 1 + sum of p_i."""
        return 1 + sum(self.first(drafts))

    def conditional(self, drafts: int) -> NDArray[np.float64]:
        """Chance that a draft is accepted when all before it were; shape (drafts,)."""
        p = np.array(self.first(drafts), dtype=np.float64)
        before = np.concatenate(([1.0], p[:-1]))
        return np.divide(p, before, out=np.zeros(drafts), where=before > 0)

    def of_prompts(self, drafts: int, prompts: Sequence[int]) -> NDArray[np.float64]:
        """`conditional` for sequences of these prompts, shape (sequences, drafts); a prompt has always the same."""
        common = self.conditional(drafts)
        if not self.prompt_spread:
            return np.broadcast_to(common, (len(prompts), drafts))
        normal = np.array([_normal(prompt) for prompt in prompts])
        harder = np.exp(self.prompt_spread * normal - self.prompt_spread**2 / 2)
        return np.asarray(1 - np.minimum((1 - common) * harder[:, None], 1), dtype=np.float64)

    def draw(
        self, rng: np.random.Generator, sequences: int, drafts: int, chances: NDArray[np.float64] | None = None
    ) -> NDArray[np.int64]:
        """Accepted drafts of each sequence in one step, independent across sequences, shape (sequences,).

        `chances` of shape (sequences, drafts) are taken instead of `conditional`.
        """
        accepted = rng.random((sequences, drafts)) < (self.conditional(drafts) if chances is None else chances)
        lengths: NDArray[np.int64] = np.cumprod(accepted, axis=1, dtype=np.int64).sum(axis=1)
        return lengths

    def first(self, drafts: int) -> Sequence[float]:
        """Unconditional acceptance of the first K positions.

        Raises:
            InvalidInputError: so many are not known.
        """
        if drafts > len(self.per_position):
            raise InvalidInputError(
                f"this preset knows acceptance for up to {len(self.per_position)} draft tokens, not {drafts}"
            )
        return self.per_position[:drafts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One simulated engine with what it stands for."""

    name: str
    model: str
    """Name under which it serves."""
    hardware: str
    gpus: int
    steps: StepModel
    acceptance: AcceptanceModel
    source: str
    """Data that the parameters were fitted to, and the error of the fit."""
    max_running: int = 512
    max_context: int = 32768


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Prediction of the closed form for one cell."""

    total_tok_s_gpu: float
    tpot_s: float
    decoding: float
    """Mean number of sequences in a decode step."""


@functools.lru_cache(maxsize=4096)
def _normal(prompt: int) -> float:
    """A standard normal number that belongs to a prompt."""
    return float(np.random.default_rng([prompt]).standard_normal())


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
