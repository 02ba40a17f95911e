"""Destination of requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_specdec.redaction import without_credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An OpenAI-compatible endpoint and the model to ask it for."""

    base_url: str = field(repr=False)
    """With or without a trailing `/v1`."""
    model: str
    api_key: str | None = field(default=None, repr=False)
    more_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers of every request, such as those of a gateway."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """Fields of the engine's own that every measured request carries."""
    continuous_usage: bool = True
    """The server puts exact token counts on every chunk on request (`continuous_usage_stats`)."""
    counts_cut_streams: bool = True
    """The server's own counters include the tokens of a stream that was cut."""

    @property
    def cuts_streams(self) -> bool:
        """True if both sides know the tokens of a stream that is cut when the window closes."""
        return self.continuous_usage and self.counts_cut_streams

    @property
    def chat_url(self) -> str:
        """URL of the chat completions."""
        return f"{self.base_url.rstrip('/').removesuffix('/v1')}/v1/chat/completions"

    @property
    def shown(self) -> str:
        """The URL without credentials, for messages."""
        return without_credentials(self.base_url)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        authorization = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return {"Content-Type": "application/json", **authorization, **self.more_headers}
