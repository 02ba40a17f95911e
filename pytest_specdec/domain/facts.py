"""Configuration of an engine: stated by the server, declared by the user, or unknown."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from pytest_specdec.domain.axes import AXES
from pytest_specdec.domain.cell import EngineSpec, parallel_degrees
from pytest_specdec.domain.speculation_mode import LOSSLESS, NATURAL, Speculation, method_title
from pytest_specdec.errors import InvalidInputError

BUNDLE = frozenset({"image", "torch", "cuda"})
"""Facts that an upgrade of the engine may change."""
_PIN_TOLERANCE = 0.005
_LOSSLESS_NAMES = frozenset({"lossless", "standard", "strict", "block", "exact", "rejection", "probabilistic"})
"""Names under which engines accept a draft only with the probability that keeps the target's distribution.

vLLM called one and the same mode `strict` and later `standard`; `block` verifies a block jointly and is lossless too.
"""


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Resolved settings, whatever an engine's flags are called; None is unknown."""

    draft_tokens: int | None = None
    """K; 0 is Off."""
    method: str | None = None
    """`mtp`, `eagle3`, `ngram` ..."""
    verification: str | None = None
    """`lossless`, or the name of a mode that changes the text."""
    acceptance: str | None = None
    """`natural`, or the pinned acceptance length."""
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    data_parallel: int | None = None
    expert_parallel: int | None = None
    quantization: str | None = None
    dtype: str | None = None
    kv_cache_dtype: str | None = None
    max_running: int | None = None
    """Requests that may run at a time; more wait."""
    prefix_cache: bool | None = None
    stream_interval: int | None = None
    """Engine steps per chunk of a stream."""
    # Not available over HTTP.
    driver: str | None = None
    cuda: str | None = None
    torch: str | None = None
    image: str | None = None
    gpu_clock_mhz: int | None = None
    power_cap_w: int | None = None

    def words(self) -> dict[str, str]:
        """Known facts as text for files and tables."""
        return {name: _word(value) for name, value in msgspec.structs.asdict(self).items() if value is not None}

    def without(self, names: Collection[str]) -> Facts:
        """The same, with these unknown."""
        return msgspec.structs.replace(self, **dict.fromkeys(names))

    def declared(self, declared: Facts) -> Facts:
        """Fill in what the user declared.

        Raises:
            InvalidInputError: the endpoint says otherwise; the message names both values.
        """
        seen, said = msgspec.structs.asdict(self), msgspec.structs.asdict(declared)
        for name, value in said.items():
            if None not in (value, seen[name]) and seen[name] != value:
                raise InvalidInputError(
                    f"--specdec-facts declares {name} = {_word(value)} and the endpoint says {_word(seen[name])}"
                )
        return Facts(**{name: value if said[name] is None else said[name] for name, value in seen.items()})


def canonical_verification(name: str | None) -> str | None:
    """Bring the engines' names of lossless verification to one; lossy modes keep theirs."""
    if name is None:
        return None
    return LOSSLESS if name.lower() in _LOSSLESS_NAMES else name.lower()


def contradictions(engine: EngineSpec, facts: Facts) -> list[str]:
    """List the contradictions between endpoint and cell, with both values; an unknown fact contradicts nothing."""
    found = _contradicted_mode(engine.speculation, facts)
    wanted = parallel_degrees(engine.parallelism)
    kinds = {"tp": "tensor_parallel", "pp": "pipeline_parallel", "dp": "data_parallel", "ep": "expert_parallel"}
    for short, name in kinds.items():
        degree = getattr(facts, name)
        if degree is not None and degree != wanted[short]:
            found.append(f"the test wants {short}{wanted[short]} and the endpoint runs {short}{degree}")
    served, asked = served_precision(facts), _precision(engine.precision)
    if None not in (served, asked) and served != asked:
        found.append(f"the test wants precision {engine.precision} and the endpoint serves {served}")
    for name, axis in AXES.items():
        value, fact = getattr(engine, name, None), getattr(facts, axis.fact, None)
        if None not in (value, fact) and value != fact:
            found.append(f"the test wants {name} {value} and the endpoint runs {_word(fact)}")
    return found


def _contradicted_mode(wanted: Speculation, facts: Facts) -> list[str]:
    found = []
    if facts.draft_tokens is not None and facts.draft_tokens != wanted.draft_tokens:
        plain = Speculation(method=wanted.method, draft_tokens=wanted.draft_tokens)
        runs = msgspec.structs.replace(plain, draft_tokens=facts.draft_tokens)
        found.append(f"the test wants {plain.mode} and the endpoint runs {runs.mode}")
    elif wanted.active and facts.method not in (None, wanted.method):
        found.append(f"the test wants {method_title(wanted.method)} and the endpoint speculates by {facts.method}")
    if wanted.active and facts.acceptance is not None and not _same_acceptance(wanted.acceptance, facts.acceptance):
        found.append(
            f"the test wants {_acceptance_words(wanted.acceptance)} and the endpoint runs "
            f"{_acceptance_words(facts.acceptance)}"
        )
    if wanted.active and facts.verification not in (None, wanted.verification):
        if wanted.verification == LOSSLESS:
            found.append(
                f"the endpoint verifies by {facts.verification!r}, which changes the text; a suite that means it says "
                f"specdec(verification={facts.verification!r})"
            )
        else:
            found.append(f"the test wants verification {wanted.verification!r} and the endpoint {facts.verification!r}")
    return found


def served_precision(facts: Facts) -> str | None:
    """Precision of the weights by quantization and dtype; None where a name does not tell it."""
    if facts.quantization is None:
        return None
    return _precision(facts.dtype or "") if facts.quantization == "none" else _precision(facts.quantization)


def parse_facts(text: str) -> dict[str, Facts]:
    """Parse a facts file (TOML): keys at the top hold for every engine, a table `[off]` or `[mtp3]` for that mode.

    Returns the facts by mode, those for every engine under the empty name.

    Raises:
        InvalidInputError: not TOML, a table of no mode, an unknown fact, or a value of another type; the message names
            it.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"not TOML: {error}") from error
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    for name in tables:
        try:
            Speculation.parse(name)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"table [{name}] is of no mode: say [off], or [mtp3] with the draft tokens as number"
            ) from error
    top = {name: value for name, value in content.items() if name not in tables}
    return {name: _facts(name, table) for name, table in {"": top, **tables}.items()}


def facts_for(declared: Mapping[str, Facts], engine: EngineSpec) -> Facts:
    """Facts declared for an engine; the table of its mode overrides the top of the file."""
    top, own = (msgspec.structs.asdict(declared.get(name, Facts())) for name in ("", engine.mode))
    return Facts(**{name: value if own[name] is None else own[name] for name, value in top.items()})


def _facts(mode: str, table: Mapping[str, Any]) -> Facts:
    unknown = [name for name in table if name not in Facts.__struct_fields__]
    if unknown:
        raise InvalidInputError(f"unknown fact {unknown[0]!r}; there are: {', '.join(Facts.__struct_fields__)}")
    try:
        facts = msgspec.convert(dict(table), Facts)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{f'[{mode}]: ' if mode else ''}{error}") from error
    return msgspec.structs.replace(facts, verification=canonical_verification(facts.verification))


def _same_acceptance(one: str, other: str) -> bool:
    if NATURAL in (one, other):
        return one == other
    # An engine gives back rates per position, which add up to the length but for rounding.
    return abs(float(one) - float(other)) <= _PIN_TOLERANCE


def _acceptance_words(acceptance: str) -> str:
    return "natural acceptance" if acceptance == NATURAL else f"acceptance length pinned to {acceptance}"


def _precision(name: str) -> str | None:
    lowered = name.lower().removeprefix("torch.")
    # A name such as `W4A8_NVFP4_FP8` has the activations' precision too, so the narrowest weights are matched first.
    families = {
        "fp4": ("fp4",),
        "int4": ("int4", "awq", "w4a"),
        "fp8": ("fp8",),
        "int8": ("int8", "w8a8_int8"),
        "bf16": ("bf16", "bfloat16"),
        "fp16": ("fp16", "float16", "half"),
        "fp32": ("fp32", "float32"),
    }
    for family, names in families.items():
        if any(known in lowered for known in names):
            return family
    return None


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
