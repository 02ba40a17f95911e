"""The cell, which is the point to measure: an engine specification, a workload, and a concurrency or a rate.

All values are frozen, hashable and ordered, so that they serve as pytest parameters, as dictionary keys and as
fields of files, and so that sorting the cells starts each engine once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal

import msgspec

from pytest_specdec.domain.speculation_mode import LOSSLESS, MTP, NATURAL, Speculation
from pytest_specdec.errors import InvalidInputError

WORKLOAD_VERSION = "1"
"""Bump when prompts, lengths or sampling change: measurements of another version are not comparable."""

FILE = "file-"
"""Beginning of the name of the prompts of a file."""
SENTENCES = "text"
"""Generated prompts of exactly the length that the workload names."""
CLOSED: Literal["closed"] = "closed"
Arrivals = Literal["closed", "constant", "poisson"]
TAGS: dict[str, str] = {"arrivals": ""}
"""Field of an engine or a workload that ids and paths show where it is not at its default -> what precedes the value.

Model, precision, parallelism, speculation and sequence have their fixed places and are not listed.
"""

_SEQUENCE = re.compile(r"(\d+k)(\d+k)|(\d+k?)[x/](\d+k?)")
_OWN_LENGTH = re.compile(r"(file|short|medium|long)[x/](\d+k?)")
"""Sequences whose prompts have lengths of their own: those of a file, and those of a category in one of its sizes."""
_PARALLELISM = re.compile(r"(?:(?:tp|pp|dp|ep)\d+)+")
_DEGREE = re.compile(r"(tp|pp|dp|ep)(\d+)")


def _always(value: Any) -> Any:  # noqa: ANN401 - the type is the field's
    """Default of a field that is written to files even so, as it was in their first version."""
    return msgspec.field(default_factory=lambda: value)


class EngineSpec(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way to serve one model; cells of one specification share a running engine.

    The fields are flat because saved runs and baselines have them so; code asks `speculation`. A field that is added
    appears in files only where it differs from its default, so that older files stay as they are.
    """

    model: str
    precision: str
    parallelism: str = _always("tp8")
    """Degrees such as `tp8ep8`. Expert parallelism shares the GPUs of the other degrees."""
    mtp: int = _always(0)
    """Draft tokens per step (K) of any method; 0 is Off."""
    acceptance: str = _always(NATURAL)
    verification: str = _always(LOSSLESS)
    method: str = MTP

    @property
    def speculation(self) -> Speculation:
        """Mode of the engine."""
        return Speculation(
            method=self.method, draft_tokens=self.mtp, acceptance=self.acceptance, verification=self.verification
        )

    def off(self) -> EngineSpec:
        """Return the same engine without speculation."""
        return msgspec.structs.replace(self, mtp=0, acceptance=NATURAL, verification=LOSSLESS, method=MTP)

    @property
    def gpus(self) -> int:
        """GPUs that the engine occupies: tp x pp x dp."""
        degrees = parallel_degrees(self.parallelism)
        return degrees["tp"] * degrees["pp"] * degrees["dp"]

    @property
    def mode(self) -> str:
        """Name of the speculation mode: `off`, `mtp3`, `mtp3-al2.5`, `mtp3-fly`."""
        return self.speculation.mode

    @property
    def weights(self) -> str:
        """Precision, with the tags of the engine's further fields."""
        return _tagged(self.precision, self)

    def __str__(self) -> str:
        return f"{short_model(self.model)}-{self.weights}-{self.mode}"


class Interview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An engine whose answers are collected; answers with thinking and without it are compared separately."""

    engine: EngineSpec
    thinking: bool | None = None
    """As `Workload.thinking`."""

    def __str__(self) -> str:
        return f"{self.engine}{_THOUGHT[self.thinking]}"


_THOUGHT = {None: "", False: " without thinking", True: " with thinking"}
_THINKING = {None: 0, False: 1, True: 2}


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The requests that the client sends, byte-identical for every speculation mode."""

    isl: int
    """Nominal input tokens per request; 0 for prompts of a file or a category, which have lengths of their own."""
    osl: int
    """Nominal output tokens per request."""
    shortest: float = 0.8
    """Lengths are drawn uniformly from [shortest, 1] x nominal, as in the published tables; 1 means exact."""
    prompts: str = SENTENCES
    """Prompt regime; workloads of different regimes are never compared. `text` is sentences to length,
    `text/code/medium` and the like are requests of a category, `file-` and a digest the prompts of a file.
    """
    seed: int = 0
    thinking: bool | None = None
    """Sent as `chat_template_kwargs.enable_thinking` unless None."""
    temperature: float = 0.0
    ignore_eos: bool = True
    version: str = WORKLOAD_VERSION
    arrivals: Arrivals = CLOSED
    """`closed`: a new request as soon as one ends. `constant`, `poisson`: an open loop, independent of completions."""

    def __lt__(self, other: Workload) -> bool:
        """Order by field; default thinking comes before thinking off, and that before thinking on."""
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
        """Sequence with the tags of further fields, such as `1k1k-poisson`."""
        return _tagged(self.sequence, self)

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
    """One point to measure: an engine under a workload at a concurrency, or at a request rate."""

    engine: EngineSpec
    workload: Workload
    concurrency: int
    """Requests in flight; 0 in an open loop."""
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
    return f"{short_model(engine.model)}-{engine.weights}-{workload.shape}-{engine.mode}"


def _tagged(name: str, value: EngineSpec | Workload) -> str:
    defaults = _defaults(type(value))
    tags = ((tag, getattr(value, field), defaults[field]) for field, tag in TAGS.items() if field in defaults)
    return "-".join([name, *(f"{tag}{now}" for tag, now, default in tags if now != default)])


@cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, object]:
    return {field.name: field.default for field in msgspec.structs.fields(kind)}


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
    """Sort cells so that each engine is contiguous and Off precedes MTP; drop duplicates."""
    return sorted(set(cells))


def _parse_size(text: str) -> int:
    return int(text.removesuffix("k")) * (1024 if text.endswith("k") else 1)


def _size_name(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else str(tokens)


def workload_words(workload: Workload) -> str:
    """Fields of a workload that must agree for two results to be comparable, in words."""
    thinking = {None: "default", True: "on", False: "off"}[workload.thinking]
    lengths = "exact" if workload.shortest == 1 else f"[{workload.shortest:g}, 1]"
    eos = "ignored" if workload.ignore_eos else "stops"
    arrivals = "" if workload.arrivals == CLOSED else f" {workload.arrivals} arrivals"
    return (
        f"v{workload.version} {workload.prompts} lengths {lengths} seed {workload.seed} "
        f"T={workload.temperature:g} thinking {thinking} EOS {eos}{arrivals}"
    )
