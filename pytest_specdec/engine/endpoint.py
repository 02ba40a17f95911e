"""The control path of an OpenAI-compatible endpoint: is it there, what does it serve, what does it say of itself.

Requests that are measured do not go this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec
import openai

from pytest_specdec.cell import mode_name, short_model
from pytest_specdec.engine.counters import UNREADABLE, EngineReading, read_metrics
from pytest_specdec.errors import EngineError
from pytest_specdec.measurement import UNKNOWN

_TIMEOUT_S = 20.0
_SIMULATED_HEADER = "X-Specdec-Simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What an endpoint says of itself; UNKNOWN and None where it does not say."""

    model: str
    """Name under which the endpoint serves the model."""
    engine: str
    version: str
    mtp: int | None
    """Draft tokens by its metrics; None when they do not tell."""
    simulated: str
    """Preset of the simulated engine, empty for a real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A base URL such as `http://host:8000/v1` and how to talk to it."""

    url: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def root(self) -> str:
        """The URL without `/v1`: where `/metrics` and `/version` live."""
        return self.url.rstrip("/").removesuffix("/v1")

    @property
    def shown(self) -> str:
        """The URL without credentials, for messages and files."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))

    async def look(self, model: str, alias: str | None = None) -> Served:
        """Ask the endpoint which engine it is and whether it serves `model`.

        Raises:
            EngineError: unreachable, refused, not OpenAI-compatible, or another model; one sentence says which.
        """
        served = self._resolve(await self._models(), model, alias)
        async with self._session() as session:
            version, headers = await self._json(session, "/version")
            reading = await self._reading(session)
        simulated = headers.get(_SIMULATED_HEADER, "")
        engine = "simulated" if simulated else ("vllm" if reading is not UNREADABLE else UNKNOWN)
        return Served(
            model=served,
            engine=engine,
            version=str(version.get("version") or UNKNOWN),
            mtp=reading.draft_tokens,
            simulated=simulated,
        )

    async def reading(self) -> EngineReading:
        """Read `/metrics`; UNREADABLE when there is none that is known."""
        async with self._session() as session:
            return await self._reading(session)

    async def smoke(self, served_model: str) -> None:
        """Ask for one token the way any user would.

        Raises:
            EngineError: the endpoint lists the model and yet does not answer.
        """
        async with self._client() as client:
            try:
                answer: Any = await client.chat.completions.create(
                    model=served_model,
                    messages=[{"role": "user", "content": "Say yes."}],
                    max_tokens=1,
                    temperature=0,
                )
            except openai.OpenAIError as error:
                raise self._explained(error, "/chat/completions") from error
        if isinstance(answer, str) or not getattr(answer, "choices", None):
            raise EngineError(f"{self.shown} is not OpenAI-compatible: /chat/completions answered without choices")

    async def _models(self) -> dict[str, str]:
        """Served names with their `root` (path or repository of the weights)."""
        async with self._client() as client:
            try:
                page: Any = await client.models.list()
            except openai.OpenAIError as error:
                raise self._explained(error, "/models") from error
            except (ValueError, TypeError, AttributeError) as error:
                raise EngineError(f"{self.shown} is not OpenAI-compatible: /models did not answer with JSON") from error
        models = getattr(page, "data", None)
        if not isinstance(models, list) or not all(isinstance(getattr(m, "id", None), str) for m in models):
            raise EngineError(f"{self.shown} is not OpenAI-compatible: /models did not answer with a list of models")
        return {entry.id: str(getattr(entry, "root", None) or "") for entry in models}

    def _resolve(self, models: Mapping[str, str], model: str, alias: str | None) -> str:
        if alias is not None:
            if alias in models:
                return alias
        elif model in models:
            return model
        else:
            same = [
                name for name, root in models.items() if short_model(model) in (short_model(name), short_model(root))
            ]
            if len(same) == 1:
                return same[0]
        listed = ", ".join(models) or "nothing"
        raise EngineError(
            f"{self.shown} does not serve {alias or model!r}; it serves {listed}. If it is there under another name, "
            f"say --specdec-served-model '{model}=NAME'"
        )

    async def _reading(self, session: aiohttp.ClientSession) -> EngineReading:
        try:
            async with session.get(f"{self.root}/metrics") as response:
                if response.status != 200 or "json" in response.content_type:
                    return UNREADABLE
                return read_metrics(await response.text())
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            raise EngineError(f"{self.shown}: /metrics could not be read: {_reason(error)}") from error

    async def _json(self, session: aiohttp.ClientSession, path: str) -> tuple[dict[str, Any], Mapping[str, str]]:
        try:
            async with session.get(f"{self.root}{path}") as response:
                body = await response.read()
                content = msgspec.json.decode(body) if response.status == 200 else {}
                return (content if isinstance(content, dict) else {}), response.headers
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError):
            return {}, {}

    def _session(self) -> aiohttp.ClientSession:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        return aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=True)

    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"{self.root}/v1", api_key=self.api_key or "none", max_retries=0, timeout=_TIMEOUT_S
        )

    def _explained(self, error: openai.OpenAIError, path: str) -> EngineError:
        if isinstance(error, openai.APIConnectionError):
            return EngineError(f"{self.shown} cannot be reached ({_reason(error)}): is the server up?")
        if isinstance(error, openai.APIStatusError):
            if error.status_code in (401, 403):
                return EngineError(
                    f"{self.shown} refused the API key (HTTP {error.status_code}): set SPECDEC_API_KEY to a valid one"
                )
            if error.status_code == 404:
                return EngineError(f"{self.shown} is not OpenAI-compatible: {path} is not there (HTTP 404)")
            return EngineError(f"{self.shown}: {path} failed with HTTP {error.status_code}: {str(error)[:200]}")
        return EngineError(f"{self.shown} is not OpenAI-compatible: {path}: {str(error)[:200]}")


def contradiction(served: Served, mtp: int) -> str:
    """Name both modes when an endpoint says that it speculates otherwise than a cell wants; empty when it agrees."""
    if served.mtp is None or served.mtp == mtp:
        return ""
    return f"the test wants {mode_name(mtp)} and the endpoint's metrics say {mode_name(served.mtp)}"


async def wait_until_idle(endpoint: Endpoint, *, seconds: float) -> EngineReading:
    """Wait until no request runs or waits, so that counters can be compared.

    Raises:
        EngineError: requests of somebody else are still running.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        reading = await endpoint.reading()
        busy = (reading.running or 0) + (reading.waiting or 0)
        if not busy:
            return reading
        if loop.time() > deadline:
            raise EngineError(
                f"{endpoint.shown} is busy: {busy:.0f} requests that are not ours have been running for "
                f"{seconds:.0f} s; measure on a server that nobody else uses"
            )
        await asyncio.sleep(0.1)


def _reason(error: BaseException) -> str:
    """The innermost cause in few words."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:160]
