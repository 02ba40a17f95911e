"""Faults that were published as regressions of real engines, in the order of the project's list."""

from __future__ import annotations

from functools import partial

from pytest_specdec.simulator.faults.fault import Drafting, Failing, Fault, Move, Saying, Serving, Timing

falls = partial(Move, direction="falls")
rises = partial(Move, direction="rises")
differs = partial(Move, direction="differs")

_SLOWER = (falls("acceptance_length"), falls("interactivity_tok_s_user"), falls("total_tok_s_gpu"))
_STEPS = (falls("step_rate_s"), falls("interactivity_tok_s_user"), falls("total_tok_s_gpu"))

PUBLISHED = (
    Fault(
        "state-corrupted", "acceptance", row=1, basis="published", threads=("vllm#36872",),
        engine="vLLM, Qwen3.5-35B-A3B-FP8, MTP 2",
        magnitude="acceptance length 2.23 -> 1.02, p 0.798/0.427 -> 0.018/0.000",
        what="From the second request on the state of the drafter and of the model is corrupted.",
        seen="the first answer is right and fast, all others are gibberish with hardly an accepted draft",
        moves=(*_SLOWER, falls("p_0"), differs("canary"), differs("text")),
        drafting=Drafting(keeps=(0.018 / 0.798, 0.0), after_requests=1),
        saying=Saying(wrong="gibberish", share=1.0, after_requests=1),
    ),
    Fault(
        "answers-wrong", "text", row=2, basis="derived", threads=("vllm#46834",),
        engine="vLLM, GLM-5.2-FP8, MTP 1, EP16, H200", magnitude="gsm8k 95.7 % -> 1.1 %: 98.9 % of the answers",
        what="Verification accepts tokens that the model would not generate.",
        seen="plausible text that differs from that without speculation; speed and acceptance are normal",
        moves=(differs("text"),), saying=Saying(wrong="differs", share=1 - 1.1 / 95.7),
    ),
    Fault(
        "crash-at-high-concurrency", "crash", row=3, threads=("vllm#36613",),
        engine="vLLM, Qwen3.5-397B, MTP", magnitude="at 32 sequences",
        what="An illegal memory access in a large batch kills the engine.",
        seen="all streams break off, then every request and the health check fail",
        moves=(rises("failed"),), failing=Failing(crash_batch=32),
    ),
    Fault(
        "crash-on-long-context", "crash", row=4, threads=("vllm#40756",),
        engine="vLLM 0.19.1, Qwen3.6-27B-FP8", magnitude="at 8192 tokens of context",
        what="A race over a buffer of the draft loop kills the engine on a long sequence.",
        seen="short prompts are served; soon after the first long one every request fails",
        moves=(rises("failed"),), failing=Failing(crash_context=8192),
    ),
    Fault(
        "loops-in-long-context", "text", row=5, threads=("vllm#47087",),
        engine="vLLM 0.23.0, Qwen3.6-35B, MTP 2 and 3", magnitude="half of the prompts from 4096 tokens on",
        what="Deep in a conversation answers fall into a loop; with MTP 1 and Off they do not.",
        seen="the same words are repeated until max_tokens, for long prompts only",
        moves=(differs("canary"), rises("length_hits"), differs("text")), from_mtp=2,
        saying=Saying(wrong="repeats", share=0.5, onset=20, from_context=4096, endless=True),
    ),
    Fault(
        "drafter-broken", "acceptance", row=6, basis="published", threads=("vllm#55605",),
        engine="vLLM 0.28.1rc1, GLM-5.3", magnitude="p_0 at most 0.024; throughput -29 to -41 %",
        what="Hardly any draft is accepted, on any text.", seen="right answers, slower than without speculation",
        moves=(*_SLOWER, falls("p_0")), drafting=Drafting(keeps=(0.024 / 0.93,)),
    ),
    Fault(
        "later-positions-collapse", "acceptance", row=7, basis="published", threads=("vllm#51009",),
        engine="vLLM 0.26.1rc1, DeepSeek-V4-Flash, DSpark with 5 draft tokens",
        magnitude="about 25 % of the drafts after the first go on (0.86 is usual); acceptance length 1.46 of 6",
        what="The first draft is accepted as often as before, later ones are not.",
        seen="acceptance length falls although p_0 does not move",
        moves=(*_SLOWER, falls("p_last")), drafting=Drafting(keeps=(1.0, 0.25 / 0.86)),
    ),
    Fault(
        "acceptance-slips", "acceptance", row=8, threads=("vllm#26191",),
        engine="vLLM main of October 2025, EAGLE3 with 7 draft tokens, mt-bench",
        magnitude="5 % of the chance of every draft, about 6 % of the acceptance length at K = 3",
        what="A change of the engine lowers acceptance a little at every position.",
        seen="acceptance length below an earlier 3.53",
        moves=_SLOWER, drafting=Drafting(keeps=(0.95,)),
    ),
    Fault(
        "acceptance-low-after-upgrade", "acceptance", row=9, threads=("vllm#33497", "vllm-ascend#6606"),
        engine="vLLM 0.15.0, DeepSeek-V3.2",
        magnitude="20 % of the chance of every draft, about 23 % of the acceptance length at K = 3",
        what="An upgrade lowers acceptance much at every position.", seen="low acceptance, right answers",
        moves=(*_SLOWER, falls("p_0")), drafting=Drafting(keeps=(0.8,)),
    ),
    Fault(
        "slow-at-good-acceptance", "step_time", row=10, basis="published", threads=("vllm#39680",),
        engine="vLLM, Qwen3.5-0.8B, MTP 1", magnitude="342 -> 128 tok/s: 0.375 of Off",
        what="Steps of the speculative path take several times as long.",
        seen="acceptance rate 96.6 %, and slower than Off",
        moves=_STEPS, timing=Timing(of_off=128.3 / 342.2, toward_off=1.0),
    ),
    Fault(
        "dynamic-k-thrashes", "step_time", row=11, basis="derived", threads=("vllm#49548",),
        engine="vLLM, dynamic K per batch size, MTP 2", magnitude="8 requests: 232 -> 24 to 157 tok/s",
        what="Around the batch size at which K changes every step falls off its captured graph.",
        seen="normal speed below and above these batch sizes, a collapse at them",
        moves=(*_STEPS, falls("verify_share")), drafting=Drafting(off_above=4),
        timing=Timing(factor=2.5, from_batch=5, to_batch=10),
    ),
    Fault(
        "slower-with-every-request", "step_time", row=12, threads=("vllm#27379",),
        engine="vLLM 0.11.1rc2, ngram", magnitude="0.4 ms per sequence and step",
        what="Drafting adds time per sequence that overlaps with nothing.",
        seen="normal with few requests, slower with more",
        moves=_STEPS, timing=Timing(sequence_ms=0.4),
    ),
    Fault(
        "start-fails-above-k1", "start", row=13, basis="published", threads=("vllm#31845",),
        engine="vLLM, DeepSeek-V3.2, MTP > 1, H200", magnitude="every start",
        what="The attention backend supports one draft token only.",
        seen="the engine does not start with K of 2 or more",
        moves=(rises("start"),), from_mtp=2, failing=Failing(start_share=1.0),
    ),
    Fault(
        "drafter-gaps", "step_time", row=13, threads=("vllm#35878", "vllm#31845"),
        engine="vLLM main of March 2026, DeepSeek-V3.2, MTP 3, H200", magnitude="4 ms per step from 16 sequences on",
        what="The drafter's loop has gaps between its kernels.",
        seen="steps take longer at 16 requests and more, acceptance is normal",
        moves=_STEPS, timing=Timing(plus_ms=4.0, from_batch=16),
    ),
    Fault(
        "acceptance-falls-with-context", "acceptance", row=14, basis="derived", threads=("vllm#47602",),
        engine="vLLM, Qwen3.6-27B, native MTP", magnitude="p_0 0.935 -> 0.721, here at 32k tokens of context",
        what="Acceptance falls with the length of the context.", seen="a small loss at 1k1k, a larger one at 8k1k",
        moves=(*_SLOWER, falls("p_0")), drafting=Drafting(context_keeps=0.721 / 0.935),
    ),
    Fault(
        "stops-early", "tokens", row=15, basis="published", threads=("vllm#47297",),
        engine="vLLM, MTP", magnitude="128 tokens",
        what="Answers end after 128 tokens, whatever max_tokens is.",
        seen="fewer completion tokens than asked with ignore_eos; throughput by request is wrong by a factor of 7",
        moves=(falls("completion_tokens"),), serving=Serving(stops_after=128),
    ),
    Fault(
        "drafter-unbound", "acceptance", row=16, basis="published", threads=("vllm#41789", "vllm-ascend#16980"),
        engine="vLLM 0.20.2rc1, gemma-4-31B, MTP", magnitude="acceptance rate 0.2 % (0 % on Ascend)",
        what="The drafter is bound to the wrong weights.", seen="acceptance rate near 0",
        moves=(*_SLOWER, falls("p_0")), drafting=Drafting(keeps=(0.0068,)),
    ),
    Fault(
        "garbled", "text", row=17, basis="published", threads=("sglang#14063", "sglang#14060"),
        engine="SGLang, Qwen2.5-VL with EAGLE3, spec v2", magnitude="acceptance length 3.18 -> 2.14",
        what="Speculation v2 corrupts text, which then lowers acceptance.", seen="`!!` instead of words",
        moves=(*_SLOWER, falls("p_0"), differs("canary"), differs("text")), drafting=Drafting(keeps=(1.14 / 2.18, 1.0)),
        saying=Saying(wrong="garbled", share=1.0, onset=10),
    ),
    Fault(
        "slower-at-equal-acceptance", "step_time", row=18, basis="published", threads=("sglang#15307",),
        engine="SGLang, DeepSeek-V3.2, spec v2", magnitude="129.3 -> 113.6 tok/s: -12.1 %",
        what="Each verify step takes longer.", seen="acceptance length 2.960 as before, fewer tokens per second",
        moves=_STEPS, timing=Timing(factor=129.3 / 113.6),
    ),
    Fault(
        "slower-than-off", "step_time", row=19, basis="published", threads=("sglang#8092",),
        engine="SGLang 0.4.6, MTP 1, acceptance length 1.75", magnitude="about 0.7 of Off",
        what="Verification takes more time than speculation saves.", seen="less throughput than without speculation",
        moves=_STEPS, timing=Timing(of_off=0.7, toward_off=1.0),
    ),
    Fault(
        "start-fails-sometimes", "start", row=20, basis="published", threads=("sglang#28431",),
        engine="SGLang 0.5.13, Qwen3.5-397B FP8, 8 x H100", magnitude="20 % of the starts",
        what="Some starts crash.", seen="one start of five fails, the others are normal",
        moves=(rises("start"),), failing=Failing(start_share=0.2),
    ),
    Fault(
        "crash-at-warm-up", "crash", row=20, basis="published", threads=("sglang#31249",),
        engine="SGLang 0.5.13, Qwen3.5-397B FP8", magnitude="at the first step",
        what="The first verify step kills the engine.",
        seen="the engine starts, and its first request fails after the first token",
        moves=(rises("failed"),), failing=Failing(crash_batch=1),
    ),
    Fault(
        "hang", "stall", row=21, basis="published", threads=("sglang#35822",),
        engine="SGLang 0.5.17, EAGLE", magnitude="300 s, here after 10 s of load",
        what="A verify step never ends.",
        seen="all streams stop while the health check says 200, until a watchdog kills the engine",
        moves=(falls("total_tok_s_gpu"), rises("failed")), failing=Failing(hang_after_s=10.0),
    ),
    Fault(
        "structured-stuck", "structured", row=22, basis="published", threads=("sglang#9187",),
        engine="SGLang, EAGLE", magnitude="every such request",
        what="Requests with a grammar never get a token.",
        seen="answers that must be JSON never begin, others are normal",
        moves=(falls("structured"),), saying=Saying(structured="stuck", share=1.0),
    ),
    Fault(
        "crash-under-load", "crash", row=23, threads=("sglang#15638",),
        engine="SGLang, EAGLE v2", magnitude="at 16 sequences",
        what="An index out of bounds kills the engine from some batch size on.",
        seen="all streams break off, then every request and the health check fail",
        moves=(rises("failed"),), failing=Failing(crash_batch=16),
    ),
    Fault(
        "start-fails", "start", row=24, basis="published", threads=("TensorRT-LLM#4708", "vllm#46830"),
        engine="TensorRT-LLM, DeepSeek-R1-FP4, MTP", magnitude="every start",
        what="The engine does not start with speculation.", seen="no endpoint",
        moves=(rises("start"),), failing=Failing(start_share=1.0),
    ),
    Fault(
        "endless", "text", row=25, threads=("TensorRT-LLM#8615",),
        engine="TensorRT-LLM 1.2.0rc1, gpt-oss with Eagle3", magnitude="every answer, after 30 tokens",
        what="Answers fall into a loop and never end.",
        seen="answers repeat themselves until max_tokens; those of Off stop by themselves",
        moves=(rises("length_hits"), differs("canary"), differs("text")),
        saying=Saying(wrong="repeats", share=1.0, onset=30, endless=True),
    ),
    Fault(
        "gibberish", "text", row=25, threads=("TensorRT-LLM#11125",),
        engine="TensorRT-LLM 1.2.0rc8, Llama-8B with Eagle3", magnitude="every answer, after 10 tokens",
        what="Answers turn into symbols.", seen="text of no language at normal speed",
        moves=(differs("canary"), differs("text")), saying=Saying(wrong="gibberish", share=1.0, onset=10),
    ),
    Fault(
        "slow-steps", "step_time", row=26, basis="published", threads=("TensorRT-LLM PR#8794",),
        engine="TensorRT-LLM 1.2.0rc6, DeepSeek NVFP4", magnitude="throughput -15 %, here of the speed of steps",
        what="Every step takes longer, with and without speculation.",
        seen="less throughput at the same acceptance; MTP against Off looks as before",
        moves=_STEPS, from_mtp=0, timing=Timing(factor=1 / 0.85),
    ),
)  # fmt: skip
