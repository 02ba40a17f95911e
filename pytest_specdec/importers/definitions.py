"""Definitions behind the numbers of each tool, in the one table that decides which results may be compared.

Two tools may read one server differently by 0.3 % or by 9 %, and give one name to two quantities. The texts follow the
sources of vLLM 0.33, SGLang 0.5.23, AIPerf 0.13 and InferenceX of August 2026; docs/importing.md prints this table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_specdec.errors import NotComparableError

USAGE = "usage of the server"
USAGE_OR_TOKENIZER = "usage of the server, else the client's tokenizer; the file does not state which"
USAGE_OR_REQUESTED = "usage of the server, else the requested length; the file does not state which"
SERVER = "the server's own count"
TOKENIZER = "the client's tokenizer on the answer's text"

_TPOT = "(E2E - TTFT) / (output tokens - 1) of each request, median over the run's requests"
_WHOLE_RUN = "tokens / time of the whole run, ramp-up and drain in it"
_CHUNK_GAP = "gap between chunks; with speculation a chunk has several tokens"
_LIFETIME = "mean over the server's life, not of the run; not imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A tool, and its definition of each quantity."""

    tool: str
    output_tokens: str
    """Source of the number of output tokens."""
    throughput: str
    tpot: str
    ttft: str
    """Start and end of the interval."""
    e2e: str
    """End of the interval; it begins with TTFT."""
    itl: str
    """For the reader only: ITL is never imported."""
    acceptance: str


VLLM_BENCH = Meaning(
    tool="vllm bench serve",
    output_tokens=USAGE_OR_TOKENIZER,
    throughput=_WHOLE_RUN,
    tpot=_TPOT,
    ttft="from before the request is serialised, waiting in the client included, to the first chunk with text",
    e2e="last chunk with a token",
    itl=_CHUNK_GAP,
    acceptance="change of the server's counters over the run",
)
SGLANG_PYTHON = Meaning(
    tool="SGLang bench_serving",
    output_tokens=f"{SERVER} (/generate); elsewhere {USAGE_OR_REQUESTED}",
    throughput=f"{_WHOLE_RUN} and a request to /server_info too",
    tpot=_TPOT,
    ttft="from before the request is serialised, a new TCP connection included, to the first chunk with text",
    e2e="last line of the stream, which may have no token",
    itl="gap between chunks / tokens in the chunk, by the server's count or by tokenizing its text",
    acceptance=_LIFETIME,
)
SGLANG_RUST = replace(
    SGLANG_PYTHON,
    tool="SGLang bench_serving (Rust client)",
    throughput=_WHOLE_RUN,
    ttft="from before the request is sent, on threads outside of Python, to the first chunk with text",
    itl=_CHUNK_GAP,
)
AIPERF = Meaning(
    tool="AIPerf",
    output_tokens=f"{TOKENIZER}; with --use-server-token-count {USAGE}",
    throughput=f"{_WHOLE_RUN}, from the first request to the last response",
    tpot=f"{_TPOT}; called inter_token_latency",
    ttft="from after the session is opened to the read that has the first chunk with text",
    e2e="last response",
    itl="not there by this name; gaps between chunks are its inter_chunk_latency",
    acceptance="not in the file that is read",
)
INFERENCEX = Meaning(
    tool="InferenceX",
    output_tokens=f"{USAGE}, 0 where it sends none",
    throughput=_WHOLE_RUN,
    tpot=_TPOT,
    ttft="from before a new session is opened to the first chunk, which may be one without text",
    e2e="last chunk, the one of usage",
    itl=_CHUNK_GAP,
    acceptance="not in its rows",
)
SPECDEC = Meaning(
    tool="specdec",
    output_tokens=USAGE,
    throughput="tokens in the steady window / window, a request's input credited with its output",
    tpot="time of a stream between chunks in the steady window / its tokens there, median over streams",
    ttft="from just before the request is sent to the kernel's arrival time of the first chunk with text",
    e2e="last chunk with a token",
    itl=_CHUNK_GAP,
    acceptance="change of the server's counters over the steady window",
)

IMPORTED = (VLLM_BENCH, SGLANG_PYTHON, SGLANG_RUST, AIPERF)
"""Tools whose files give curves to compare with each other; the other two have readers of their own."""
MEANINGS = (*IMPORTED, INFERENCEX, SPECDEC)
QUANTITIES = {
    "output_tokens": "output tokens",
    "throughput": "throughput",
    "tpot": "TPOT",
    "ttft": "TTFT",
    "e2e": "E2E until",
    "itl": "ITL",
    "acceptance": "acceptance",
}
"""Fields of Meaning that define a number, and their headings."""
_DECISIVE = ("output_tokens", "throughput", "tpot", "e2e")
"""Quantities on which the two axes of a curve rest."""


def differences(one: Meaning, other: Meaning) -> dict[str, tuple[str, str]]:
    """Quantities that the axes of a curve rest on and that two tools define differently; empty for one tool."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in _DECISIVE}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def refuse_other_tool(one: Meaning, other: Meaning) -> None:
    """Refuse to compare the results of two tools.

    Raises:
        NotComparableError: the tools differ; the message lists their definitions.
    """
    if one.tool == other.tool:
        return
    reasons = [
        f"not comparable: {one.tool} against {other.tool}, two clients that read one server differently",
        *(f"{QUANTITIES[name]}: {mine}, against {theirs}" for name, (mine, theirs) in differences(one, other).items()),
        "compare two results of one tool",
    ]
    raise NotComparableError(" | ".join(reasons))
