"""Plain HTTP requests to a server's control endpoints; an absent endpoint gives an empty answer, not an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from pytest_specdec.engine.counters import Samples

_FAILURES = (aiohttp.ClientError, TimeoutError, UnicodeDecodeError, msgspec.MsgspecError)


@dataclass(frozen=True, slots=True)
class Control:
    """A session with one server."""

    session: aiohttp.ClientSession
    root: str
    """URL without `/v1`."""
    model: str = ""
    """Name under which the model is served."""

    async def json(self, path: str) -> dict[str, Any]:
        """GET an object; empty when there is none."""
        return (await self.json_and_headers(path))[0]

    async def json_and_headers(self, path: str) -> tuple[dict[str, Any], Mapping[str, str]]:
        """GET an object with the headers of its answer; both empty when there is none."""
        try:
            async with self.session.get(f"{self.root}{path}") as response:
                body = await response.read()
                content = msgspec.json.decode(body) if response.status == 200 else {}
                return (content if isinstance(content, dict) else {}), response.headers
        except _FAILURES:
            return {}, {}

    async def samples(self, path: str) -> Samples:
        """GET a Prometheus exposition; empty when metrics are off or the text is none.

        Raises:
            aiohttp.ClientError, TimeoutError: the server did not answer.
        """
        async with self.session.get(f"{self.root}{path}") as response:
            if response.status != 200 or "json" in response.content_type:
                return Samples()
            try:
                return Samples.parse(await response.text())
            except UnicodeDecodeError:
                return Samples()

    async def post(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any] | None:
        """POST; the object of the answer, empty when it is none; None when the server refused."""
        try:
            async with self.session.post(f"{self.root}{path}", json=body) as response:
                content = await response.read()
                if response.status != 200:
                    return None
                try:
                    answer = msgspec.json.decode(content) if content else {}
                except msgspec.MsgspecError:
                    return {}
                return answer if isinstance(answer, dict) else {}
        except _FAILURES:
            return None
