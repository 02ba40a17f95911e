"""What is measured: an engine specification, a workload and a concurrency make one cell.

All values are frozen, hashable and ordered, so that they serve as pytest parameters, as dictionary keys and as
fields of files, and so that sorting the cells starts each engine once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from pytest_specdec.errors import InvalidInputError

WORKLOAD_VERSION = "1"
"""Bump when prompts, lengths or sampling change: measurements of another version are not comparable."""

NATURAL = "natural"
FILE = "file-"
SENTENCES = "text"
"""The prompts that are as long as they are asked to be."""
CLOSED: Literal["closed"] = "closed"
Arrivals = Literal["closed", "constant", "poisson"]
LOSSLESS = "lossless"

_SIZE = re.compile(r"(\d+)(k?)")
_SEQUENCE = re.compile(r"(\d+k)(\d+k)|(\d+k?)[x/](\d+k?)")
_OWN_LENGTH = re.compile(r"(file|short|medium|long)[x/](\d+k?)")
"""Prompts that are as long as they are: those of a file, and those of a category in one of its sizes."""
_PARALLELISM = re.compile(r"(?:(?:tp|pp|dp|ep)\d+)+")
_DEGREE = re.compile(r"(tp|pp|dp|ep)(\d+)")


class EngineSpec(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """One way to serve one model; cells of one specification share a running engine."""

    model: str
    precision: str
    parallelism: str = "tp8"
    """Degrees such as `tp8ep8`. Expert parallelism shares the GPUs of the other degrees."""
    mtp: int = 0
    """Draft tokens per step (K); 0 is Off."""
    acceptance: str = NATURAL
    """`natural`, or the acceptance length that the engine's synthetic mode is pinned to, such as `2.5`."""
    verification: str = LOSSLESS
    """How drafts are verified: `lossless`, or the engine's name of a mode that changes the text, such as `fly`."""

    @property
    def gpus(self) -> int:
        """GPUs that the engine occupies: tp x pp x dp."""
        degrees = parallel_degrees(self.parallelism)
        return degrees["tp"] * degrees["pp"] * degrees["dp"]

    @property
    def mode(self) -> str:
        """`off` or `mtpK`, with what is not natural about it: `mtp3-al2.5`, `mtp3-fly`."""
        pinned = "" if self.acceptance == NATURAL else f"-al{self.acceptance}"
        lossy = "" if self.verification == LOSSLESS else f"-{self.verification}"
        return f"{mode_name(self.mtp)}{pinned}{lossy}"

    @property
    def pinned_length(self) -> float | None:
        """Acceptance length that is pinned; None when it is natural."""
        return None if self.acceptance == NATURAL else float(self.acceptance)

    def off(self) -> EngineSpec:
        """The same without speculation."""
        return msgspec.structs.replace(self, mtp=0, acceptance=NATURAL, verification=LOSSLESS)

    def __str__(self) -> str:
        return f"{short_model(self.model)}-{self.precision}-{self.mode}"


class Interview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine that is asked what it says: answers with thinking and without it are not of one kind."""

    engine: EngineSpec
    thinking: bool | None = None
    """As the workload's."""

    def __str__(self) -> str:
        return f"{self.engine}{_THOUGHT[self.thinking]}"


_THOUGHT = {None: "", False: " without thinking", True: " with thinking"}
_THINKING = {None: 0, False: 1, True: 2}


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of the engine, byte-identical for every MTP mode."""

    isl: int
    """Nominal input tokens per request; 0 for prompts of a file or a category, which are as long as they are."""
    osl: int
    """Nominal output tokens per request."""
    shortest: float = 0.8
    """Lengths are drawn uniformly from [shortest, 1] x nominal, as in the published tables; 1 means exact."""
    prompts: str = SENTENCES
    """Prompt regime, of which different ones are never compared: `text` for sentences to length, `text/code/medium` and
    the like for requests of a category, `file-` and the digest of a file's prompts.
    """
    seed: int = 0
    thinking: bool | None = None
    """Sent as `chat_template_kwargs.enable_thinking` unless None."""
    temperature: float = 0.0
    ignore_eos: bool = True
    version: str = WORKLOAD_VERSION
    arrivals: Arrivals = CLOSED
    """`closed`: a new request whenever one has ended. `constant`, `poisson`: by the clock, whatever has ended."""

    def __lt__(self, other: Workload) -> bool:
        """Order by field; thinking that nobody asked for comes before thinking that is off."""
        return self._order() < other._order()

    def _order(self) -> tuple[object, ...]:
        return tuple((msgspec.structs.asdict(self) | {"thinking": _THINKING[self.thinking]}).values())

    @property
    def sequence(self) -> str:
        """The field's name of the shape, such as `1k1k` or `128x64`; else `file3fa9c1x256` or `code-mediumx256`."""
        if not self.isl:
            _, _, category = self.prompts.partition("/")
            name = category.replace("/", "-") or f"file{self.prompts.removeprefix(FILE)[:6]}"
            return f"{name}x{_size_name(self.osl)}"
        sizes = [_size_name(self.isl), _size_name(self.osl)]
        return "".join(sizes) if all(size.endswith("k") for size in sizes) else "x".join(sizes)

    @property
    def shape(self) -> str:
        """Sequence, and how requests arrive where it is by the clock."""
        return self.sequence if self.arrivals == CLOSED else f"{self.sequence}-{self.arrivals}"

    @property
    def mean_isl(self) -> float:
        """Expected input tokens per request."""
        return self.isl * (1 + self.shortest) / 2

    @property
    def mean_osl(self) -> float:
        """Expected output tokens per request."""
        return self.osl * (1 + self.shortest) / 2

    def __str__(self) -> str:
        return self.sequence


class Cell(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True, omit_defaults=True):
    """One point to measure: an engine under a workload at a concurrency, or at a rate of requests."""

    engine: EngineSpec
    workload: Workload
    concurrency: int
    """Requests in flight; 0 when they come by the clock."""
    rate: float = 0.0
    """Requests per second of an open loop; 0 in a closed one."""

    @property
    def level(self) -> str:
        """Name of the load among the points of one engine and workload: `16`, or `2.5rps`."""
        return f"{self.rate:g}rps" if self.rate else str(self.concurrency)

    def __str__(self) -> str:
        return f"{cell_prefix(self.engine, self.workload)}-{self.level if self.rate else f'c{self.level}'}"


def cell_prefix(engine: EngineSpec, workload: Workload) -> str:
    """Name of a curve, and the beginning of the name of each of its cells."""
    return f"{short_model(engine.model)}-{engine.precision}-{workload.shape}-{engine.mode}"


def mode_name(mtp: int) -> str:
    """`off` for 0, else `mtpK`."""
    return f"mtp{mtp}" if mtp else "off"


def short_model(model: str) -> str:
    """Lower-case last part of a model name without its precision suffix, fit for ids and file names."""
    name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    name = re.sub(r"-(fp8|bf16|fp4|nvfp4|int4|int8|awq|gptq)$", "", name)
    return re.sub(r"[^a-z0-9.]+", "-", name).strip("-.") or "model"


def parse_sequence(text: str, **settings: object) -> Workload:
    """Parse `1k1k`, `8k1k`, `128x64` (k = 1024) into a workload.

    Raises:
        InvalidInputError: the text is not an input and an output length.
    """
    lowered = text.strip().lower()
    match = _SEQUENCE.fullmatch(lowered)
    if own := _OWN_LENGTH.fullmatch(lowered):
        isl, osl = 0, _parse_size(own[2])
    elif match is None:
        raise InvalidInputError(
            f"sequence {text!r} is not of the form 1k1k, 8k1k or 128x64 (input then output tokens), file/256 (the "
            "prompts of a file), or short/256, medium/256, long/256 (prompts of a category)"
        )
    else:
        isl, osl = (_parse_size(part) for part in match.groups() if part)
    if not osl or (not isl and not own):
        raise InvalidInputError(f"sequence {text!r}: input and output length must be at least 1 token")
    return Workload(isl=isl, osl=osl, **settings)  # type: ignore[arg-type]


def parse_parallelism(text: str) -> str:
    """Check a parallelism such as `tp8ep8` and return it in lower case.

    Raises:
        InvalidInputError: the text names no degrees, or one twice, or a zero.
    """
    lowered = text.lower()
    degrees = _DEGREE.findall(lowered)
    names = [name for name, _ in degrees]
    if _PARALLELISM.fullmatch(lowered) is None or len(set(names)) < len(names) or any(int(n) < 1 for _, n in degrees):
        raise InvalidInputError(f"parallelism {text!r} is not of the form tp8, tp8ep8 or tp4dp2 (tp, pp, dp, ep)")
    return lowered


def parallel_degrees(parallelism: str) -> dict[str, int]:
    """Degree of each kind of parallelism, 1 where it is not named: `tp8ep8` -> tp 8, pp 1, dp 1, ep 8."""
    named = {name: int(degree) for name, degree in _DEGREE.findall(parallelism)}
    return {name: named.get(name, 1) for name in ("tp", "pp", "dp", "ep")}


def engine_order(cells: Iterable[Cell]) -> list[Cell]:
    """Sort cells so that each engine is contiguous, Off before MTP, and every duplicate is gone."""
    return sorted(set(cells))


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    assert match is not None, "unreachable because _SEQUENCE matched"
    return int(match[1]) * (1024 if match[2] else 1)


def _size_name(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else str(tokens)


def workload_words(workload: Workload) -> str:
    """Everything of a workload that must agree for two results to be comparable, in words."""
    thinking = {None: "default", True: "on", False: "off"}[workload.thinking]
    lengths = "exact" if workload.shortest == 1 else f"[{workload.shortest:g}, 1]"
    eos = "ignored" if workload.ignore_eos else "stops"
    arrivals = "" if workload.arrivals == CLOSED else f" {workload.arrivals} arrivals"
    return (
        f"v{workload.version} {workload.prompts} lengths {lengths} seed {workload.seed} "
        f"T={workload.temperature:g} thinking {thinking} EOS {eos}{arrivals}"
    )
