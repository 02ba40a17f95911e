"""Secrets never reach a report, a saved run or a baseline: the one place that removes them from text.

Two ways, and both are needed. A known secret (API key, header, password of a URL) is taken out wherever it stands, also
where a server repeats it. Text in the form of a secret (`--api-key X`, `Bearer X`, `://user:X@`) is taken out although
it is not known to be one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from pytest_specdec.errors import SpecdecError

HIDDEN = "***"
SHORTEST = 8
"""A known value with fewer characters is a word (`none`, `EMPTY`, `tenant`), and is left in text."""
CUT = 12
"""So many first characters of a known value reveal it where a message was cut off."""

_NAMES = (
    r"(?:[a-z0-9]+[-_])*?(?:api[-_]?keys?|passw(?:or)?d|secrets?|secret[-_]?(?:access[-_]?)?key|credentials?|"
    r"(?:access|api|auth|bearer|hf|hub|session|refresh|id)[-_]?token)"
)
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s'\",;&)}\]]+)"
_FORMS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # https://user:password@host, https://token@host
        r"(?P<kept>://)[^\s/@'\"]+(?=@)",
        # --api-key X, --hf-token=X, --token X, but not --max-tokens 100
        rf"(?P<kept>(?<!\w)--?(?:{_NAMES}|token)(?:\s*=\s*|\s+)){_VALUE}",
        # api_key='X', "api_key": ["X"], HF_TOKEN=X, ?api_key=X
        rf"(?P<kept>(?<![\w-]){_NAMES}['\"]?\s*[:=]\s*\[?){_VALUE}",
        r"(?P<kept>[?&](?:key|token|sig|signature)=)[^\s&'\"]+",
        # headers, as a dictionary prints them or as they go over the wire
        r"(?P<kept>(?<![\w-])(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic|token)\s+)?[^\s'\",;}]+",
        r"(?P<kept>(?<![\w-])(?:set-)?cookie['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+",
        r"(?P<kept>(?<![\w-])x-[\w-]*(?:key|token|secret|auth)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;}]+",
        r"(?P<kept>\bbearer\s+)[\w.~+/=-]{8,}",
        # forms of well-known services
        (
            r"(?P<kept>)\b(?:sk-[\w-]{16,}|hf_[a-z0-9]{20,}|gh[oprsu]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|"
            r"nvapi-[\w-]{20,}|xox[abp]-[\w-]{10,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+)"
        ),
    )
)
_ENVIRONMENT = re.compile(r"(?:API_?KEY|TOKEN|SECRET|SECRET_ACCESS_KEY|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_FLAG = re.compile(rf"(?<!\w)--?(?:{_NAMES}|token)(?:\s*=\s*|\s+)({_VALUE})", re.IGNORECASE)
_HEADER_OPTION = "--specdec-header"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Takes secrets out of text and of records."""

    known: tuple[str, ...] = field(default=(), repr=False)
    """Values that are secret wherever they stand, the longest first."""

    def redact(self, text: str) -> str:
        """Put `***` in the place of every secret."""
        for value in self.known:
            text = text.replace(value, HIDDEN)
            if value[:CUT] in text:
                text = _without_beginning(text, value)
        for form in _FORMS:
            text = form.sub(rf"\g<kept>{HIDDEN}", text)
        return text

    def clean(self, record: T, keep: Iterable[str] = ()) -> T:
        """Redact every text in a record, but for the fields of these names, which other records refer to."""
        kept = set(keep)
        fields = {name: getattr(record, name) for name in record.__struct_fields__ if name not in kept}  # type: ignore[attr-defined]
        cleaned = msgspec.to_builtins(fields)
        return msgspec.convert({**self._walk(cleaned), **{n: getattr(record, n) for n in kept}}, type(record))

    def error(self, error: SpecdecError) -> SpecdecError:
        """The same kind of error without secrets."""
        text = str(error)
        redacted = self.redact(text)
        return error if redacted == text else type(error)(redacted)

    def command(self, arguments: Iterable[str]) -> str:
        """A command line for a saved run: values of headers are secret, whatever their length."""
        shown, header = [], False
        for argument in arguments:
            option, sign, value = argument.partition("=")
            if header:
                shown.append(_header(argument))
            elif option == _HEADER_OPTION and sign:
                shown.append(f"{option}={_header(value)}")
            else:
                shown.append(argument)
            header = argument == _HEADER_OPTION
        return self.redact(" ".join(shown))

    def _walk(self, value: T) -> T:
        if isinstance(value, str):
            return self.redact(value)  # type: ignore[return-value]
        if isinstance(value, dict):
            return {name: self._walk(each) for name, each in value.items()}  # type: ignore[return-value]
        if isinstance(value, list | tuple):
            return [self._walk(each) for each in value]  # type: ignore[return-value]
        return value


def without_credentials(url: str) -> str:
    """Drop user, password, query and fragment of a URL, for messages and files.

    A `/` or `#` in a password breaks a URL apart before its host: then nothing is left before the last `@`.
    """
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0 and "@" not in parts.path:  # a port that is no number raises
            return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        pass
    return url.rpartition("@")[2].partition("?")[0]


def find_secrets(
    *,
    values: Iterable[str | None] = (),
    urls: Iterable[str | None] = (),
    commands: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Secrets:
    """Collect the known secrets.

    Args:
        values: API keys and values of headers; `Bearer X` counts as X too.
        urls: URLs whose passwords are secret; without a password, the user name is the token.
        commands: Start commands and their arguments, of which the values of `--api-key X` and the like count.
        environment: Variables, of which those count whose name marks a secret (`HF_TOKEN`, `AWS_SECRET_ACCESS_KEY`).
    """
    found: list[str] = []
    for value in filter(None, values):
        found += [value, value.rpartition(" ")[2]]
    for url in filter(None, urls):
        found += _credentials(url)
    for command in commands:
        found += [match.strip("'\"") for match in _FLAG.findall(command)]
    found += [value for name, value in (environment or {}).items() if _ENVIRONMENT.search(name)]
    return Secrets(known=tuple(sorted({v for v in found if len(v) >= SHORTEST}, key=len, reverse=True)))


def _credentials(url: str) -> list[str]:
    """The secret of a URL as written, unquoted, and as sent in a header."""
    parts = urlsplit(url)
    secret = parts.password or parts.username
    if not secret:
        return []
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return [secret, unquote(secret), base64.b64encode(pair.encode()).decode()]


def _without_beginning(text: str, value: str) -> str:
    """Take out the beginning of a value, as much as the text has of it."""
    before, _, after = text.partition(value[:CUT])
    matching = next((n for n, (a, b) in enumerate(zip(after, value[CUT:], strict=False)) if a != b), len(value) - CUT)
    rest = after[matching:]
    return before + HIDDEN + (_without_beginning(rest, value) if value[:CUT] in rest else rest)


def _header(text: str) -> str:
    name, _, value = text.partition(":")
    # @VARIABLE names an environment variable and is no secret.
    return text if value.strip().startswith("@") else f"{name}: {HIDDEN}"
