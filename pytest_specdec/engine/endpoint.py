"""Control path of an OpenAI-compatible endpoint: availability, served models, settings and counters.

Measured requests do not go this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import openai

from pytest_specdec.domain.cell import short_model
from pytest_specdec.domain.facts import Facts
from pytest_specdec.engine.adapter import Adapter
from pytest_specdec.engine.control import Control
from pytest_specdec.engine.counters import EngineReading, Samples
from pytest_specdec.engine.detect import detect
from pytest_specdec.engine.registry import ENGINES
from pytest_specdec.errors import EngineError
from pytest_specdec.redaction import without_credentials

_TIMEOUT_S = 20.0
_STILL_S = 1.0
"""An engine without a gauge of running requests is idle when its counters stand still for this long."""
_SIMULATED_HEADER = "X-Specdec-Simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Engine behind an endpoint as the endpoint reports it; UNKNOWN and None where it does not."""

    model: str
    """Name under which the endpoint serves the model."""
    engine: str
    version: str
    facts: Facts
    adapter: Adapter = field(compare=False)
    simulated: str
    """Preset of the simulated engine, empty for a real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A base URL such as `http://host:8000/v1` with its credentials."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Extra headers of every request."""

    @property
    def root(self) -> str:
        """The URL without `/v1`: where `/metrics` and `/version` live."""
        return self.url.rstrip("/").removesuffix("/v1")

    @property
    def shown(self) -> str:
        """The URL without credentials, for messages and files."""
        return without_credentials(self.url)

    async def introspect(self, model: str, alias: str | None = None, engine: str | None = None) -> Served:
        """Ask the endpoint which engine it is, how it is configured, and whether it serves `model`.

        Raises:
            EngineError: unreachable, refused, not OpenAI-compatible, or another model.
        """
        models = await self._models()
        served = self._resolve({name: entry.root for name, entry in models.items()}, model, alias)
        async with self._session() as session:
            control = Control(session, self.root, served)
            _, headers = await control.json_and_headers("/version")
            adapter = ENGINES[engine] if engine else await detect(control, models[served].owner)
            version, facts = await adapter.facts(control, await self._samples(control, adapter))
        simulated = headers.get(_SIMULATED_HEADER, "")
        return Served(
            model=served,
            engine="simulated" if simulated else adapter.name,
            version=version,
            facts=facts,
            adapter=adapter,
            simulated=simulated,
        )

    async def reading(self, adapter: Adapter) -> EngineReading:
        """Read the engine's counters; UNREADABLE when none is known."""
        async with self._session() as session:
            return adapter.reading(await self._samples(Control(session, self.root), adapter))

    async def reset_prefix_cache(self, adapter: Adapter) -> bool:
        """Empty the prefix cache; False when the engine offers no way or refuses."""
        async with self._session() as session:
            return await adapter.reset_prefix_cache(Control(session, self.root))

    async def smoke(self, served_model: str) -> None:
        """Ask for one token through the OpenAI client, as a user would.

        Raises:
            EngineError: the endpoint lists the model and does not answer.
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

    async def _models(self) -> dict[str, _Model]:
        """Served models by name."""
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
        return {
            entry.id: _Model(root=str(getattr(entry, "root", None) or ""), owner=str(getattr(entry, "owned_by", "")))
            for entry in models
        }

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

    async def _samples(self, control: Control, adapter: Adapter) -> Samples:
        try:
            return await control.samples(adapter.metrics_path)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineError(f"{self.shown}: {adapter.metrics_path} could not be read: {_reason(error)}") from error

    def _session(self) -> aiohttp.ClientSession:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        headers |= self.headers
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        return aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=True)

    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"{self.root}/v1",
            api_key=self.api_key or "none",
            max_retries=0,
            timeout=_TIMEOUT_S,
            default_headers=dict(self.headers),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    root: str
    """Path or repository of the weights."""
    owner: str
    """`owned_by`: engines put their own name there."""


async def wait_until_idle(endpoint: Endpoint, adapter: Adapter, *, seconds: float) -> EngineReading:
    """Wait until no request runs or waits, so that counters can be compared.

    An engine that counts requests without a gauge of running ones is idle when its counters stand still. The lag of the
    engine's gauges is added to `seconds`.

    Raises:
        EngineError: requests of another client are still running.
    """
    loop = asyncio.get_running_loop()
    most_s = seconds + adapter.gauges_lag_s
    deadline = loop.time() + most_s
    counted, since = None, loop.time()
    while True:
        reading = await endpoint.reading(adapter)
        if counted is None or counted != _counted(reading):
            counted, since = _counted(reading), loop.time()
        by_gauge = reading.running is not None or reading.requests is None
        busy = (reading.running or 0) + (reading.waiting or 0)
        if not busy if by_gauge else loop.time() - since >= _STILL_S:
            return reading
        if loop.time() > deadline:
            what = f"{busy:.0f} requests of another client have been running" if by_gauge else "its counters have moved"
            raise EngineError(
                f"{endpoint.shown} is busy: {what} for {most_s:.0f} s; measure on a server without other clients"
            )
        await asyncio.sleep(0.1)


def _counted(reading: EngineReading) -> tuple[object, ...]:
    return reading.speculation, reading.requests, reading.generation_tokens, reading.prompt_tokens


def _reason(error: BaseException) -> str:
    """First line of the innermost cause."""
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT_S:g} s"
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:160]
