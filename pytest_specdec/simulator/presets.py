"""Presets of the simulated engine, with the data that they are fitted to."""

from __future__ import annotations

from pytest_specdec.domain.cell import short_model
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.simulator.model import AcceptanceModel, Preset, StepModel

# Golden acceptance of Qwen3.5-397B with thinking on, by position (InferenceX golden_al_distribution/qwen3.5_mtp.yaml),
# scaled by one factor so that AL at K = 3 is the 3.245 of the fit.
_QWEN_GOLDEN = (0.93, 0.80, 0.66, 0.58, 0.44, 0.39, 0.24, 0.17)
_QWEN_SCALE = (3.245 - 1) / sum(_QWEN_GOLDEN[:3])

PRESETS = (
    Preset(
        name="h200-qwen3.5-397b-fp8", model="Qwen/Qwen3.5-397B-A17B-FP8", hardware="h200", gpus=8,
        steps=StepModel(
            fixed_ms=6.00, experts_ms=17.50, token_ms=0.153, draft_ms=0.567,
            prefill_token_ms=69.9 / 922, experts_routed=10, experts_all=512,
        ),
        acceptance=AcceptanceModel(per_position=tuple(p * _QWEN_SCALE for p in _QWEN_GOLDEN)),
        source="fitted to the six points of the published Qwen3.5 H200 FP8 1k/1k table (SGLang TP8 EP8): RMS 2.4 %, "
        "at most 4.8 % (Off at 75 tok/s/user); six numbers do not identify six parameters",
    ),
    Preset(
        name="h200-deepseek-r1-fp8", model="deepseek-ai/DeepSeek-R1", hardware="h200", gpus=8,
        steps=StepModel(
            fixed_ms=7.75, experts_ms=8.67, token_ms=0.2356, draft_ms=5.38,
            prefill_token_ms=0.02488, experts_routed=8, experts_all=256, context_token_ms=1.788e-5,
        ),
        # Two positions are fitted (AL 2.47 at K = 2, published about 2.5); the third goes on at the second's ratio.
        acceptance=AcceptanceModel(per_position=(0.807, 0.660, 0.540)),
        source="fitted to 18 published points of DeepSeek-R1 FP8 on H200 (SGLang v0.5.12 TP8, 1k/1k and 8k/1k, Off of "
        "2026-05-17 and MTP of 2026-05-20): RMS 3.8 %, at most 9.8 %; K = 3 is extrapolated",
    ),
    Preset(
        name="tiny", model="tiny", hardware="toy", gpus=1,
        steps=StepModel(
            fixed_ms=2.0, experts_ms=1.0, token_ms=0.02, draft_ms=0.05,
            prefill_token_ms=0.01, experts_routed=1, experts_all=16,
        ),
        acceptance=AcceptanceModel(per_position=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)),
        source="made up, to be quick in tests",
    ),
)  # fmt: skip


def find_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        InvalidInputError: no preset of that name; the message lists all.
    """
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise InvalidInputError(f"unknown preset {name!r}; there are: {', '.join(preset.name for preset in PRESETS)}")


def preset_for_model(model: str) -> Preset | None:
    """Return the preset that stands for a model, whatever its organisation, date or precision; None without one."""
    wanted = short_model(model)
    matching = (p for p in PRESETS if wanted == short_model(p.model) or wanted.startswith(f"{short_model(p.model)}-"))
    return next(matching, None)
