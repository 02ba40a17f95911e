"""What the known-timing server answers: requests in, bytes of each chunk out. Nothing here knows the time."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["chat", "completions", "generate"]
RoleChunk = Literal["with-first", "early", "none"]

PATHS: dict[str, Kind] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/generate": "generate",
}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"

_WORD = " hello"
_CREATED = 1_760_000_000
_OBJECTS: dict[Kind, str] = {
    "chat": "chat.completion",
    "completions": "text_completion",
    "generate": "generation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The part of a request that decides its answer."""

    kind: Kind
    tokens: int
    prompt_tokens: int
    stream: bool
    include_usage: bool
    continuous_usage: bool


def read_request(kind: Kind, body: bytes, *, default_tokens: int) -> Request:
    """Read a request body; a token is a word of the prompt, or an entry of a list of token ids."""
    fields: dict[str, Any] = json.loads(body)
    if kind == "generate":
        tokens = fields.get("sampling_params", {}).get("max_new_tokens")
        prompt = fields.get("text") or fields.get("input_ids") or ""
    else:
        tokens = fields.get("max_completion_tokens") or fields.get("max_tokens")
        prompt = _chat_text(fields["messages"]) if kind == "chat" else fields.get("prompt", "")
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str):
        prompt = prompt[0]
    options = fields.get("stream_options") or {}
    return Request(
        kind=kind,
        tokens=max(1, tokens or default_tokens),
        prompt_tokens=len(prompt) if isinstance(prompt, list) else prompt.count(" ") + 1,
        stream=bool(fields.get("stream")),
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("continuous_usage_stats")),
    )


def _chat_text(messages: list[dict[str, Any]]) -> str:
    contents = (message["content"] for message in messages)
    return " ".join(
        content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
        for content in contents
    )


@functools.lru_cache(maxsize=4096)
def chunk_sizes(tokens: int, tokens_per_chunk: float) -> tuple[int, ...]:
    """Tokens of each chunk: one in the first, which is the prefill's, then as even as a fractional mean allows."""
    sizes, given, due = [1], 1, 1.0
    while given < tokens:
        due += tokens_per_chunk
        size = min(int(due + 1e-9) - given, tokens - given)
        if size > 0:
            sizes.append(size)
            given += size
    return tuple(sizes)


def http_chunk(data: bytes) -> bytes:
    """One chunk of HTTP's chunked transfer encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream_chunks(
    request: Request, *, model: str, number: int, sizes: tuple[int, ...], role_chunk: bool
) -> Iterator[bytes]:
    """The bytes of every chunk, one by one; the first brings the role along, the last brings usage and end along.

    They are made when they are asked for: making all of them when a wave of requests arrives would hold up the streams
    that run already.
    """
    if request.kind == "generate":
        yield from _generate_chunks(request, number, sizes)
        return
    writer = _ChunkWriter(request, model=model, number=number)
    # Chunks that say no running count are all alike.
    alike: dict[int, bytes] = {}
    lead = writer.role() if role_chunk and request.kind == "chat" else b""
    given = 0
    for size in sizes[:-1]:
        given += size
        if request.continuous_usage:
            chunk = writer.chunk(size, given)
        else:
            chunk = alike.get(size) or alike.setdefault(size, writer.chunk(size, given))
        yield lead + chunk
        lead = b""
    last = writer.chunk(sizes[-1], request.tokens, finish=True)
    yield lead + last + writer.end()


class _ChunkWriter:
    """Writes the chunks of one answer of the OpenAI kinds."""

    def __init__(self, request: Request, *, model: str, number: int) -> None:
        self._request = request
        chat = request.kind == "chat"
        name = f"chatcmpl-{number:016x}" if chat else f"cmpl-{number:016x}"
        kind = f"{_OBJECTS[request.kind]}.chunk" if chat else _OBJECTS[request.kind]
        self._head = f'data: {{"id":"{name}","object":"{kind}","created":{_CREATED},"model":"{model}","choices":['
        self._open, self._close = (
            ('{"index":0,"delta":{"content":"', '"},"logprobs":null,"finish_reason":%s,"token_ids":null}]')
            if chat
            else ('{"index":0,"text":"', '","logprobs":null,"finish_reason":%s,"stop_reason":null}]')
        )

    def role(self) -> bytes:
        """The empty chunk that names the role."""
        choice = '{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        return self._event(choice, 0)

    def chunk(self, size: int, given: int, *, finish: bool = False) -> bytes:
        """A chunk of `size` tokens, after which `given` have been given."""
        reason = '"length"' if finish else "null"
        return self._event(f"{self._open}{_WORD * size}{self._close % reason}", given)

    def end(self) -> bytes:
        """Usage if it was asked for, and the end of the stream."""
        usage = b""
        if self._request.include_usage:
            text = json.dumps(usage_of(self._request), separators=(",", ":"))
            usage = http_chunk(f'{self._head}],"usage":{text}}}\n\n'.encode())
        return usage + http_chunk(b"data: [DONE]\n\n") + STREAM_END

    def _event(self, choice: str, given: int) -> bytes:
        if self._request.continuous_usage:
            prompt = self._request.prompt_tokens
            choice += (
                f',"usage":{{"prompt_tokens":{prompt},"total_tokens":{prompt + given},"completion_tokens":{given}}}'
            )
        return http_chunk(f"{self._head}{choice}}}\n\n".encode())


def _generate_chunks(request: Request, number: int, sizes: tuple[int, ...]) -> Iterator[bytes]:
    """SGLang's own protocol: every chunk repeats the whole text."""
    given = 0
    for size in sizes:
        given += size
        done = given == request.tokens
        chunk = http_chunk(f"data: {json.dumps(_generation(request, number, given, done=done))}\n\n".encode())
        yield chunk + http_chunk(b"data: [DONE]\n\n") + STREAM_END if done else chunk


def _generation(request: Request, number: int, given: int, *, done: bool) -> dict[str, Any]:
    return {
        "text": _WORD * given,
        "meta_info": {
            "id": f"{number:016x}",
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": given,
            "finish_reason": {"type": "length"} if done else None,
        },
    }


def whole_answer(request: Request, *, model: str, number: int) -> dict[str, Any]:
    """The answer to a request that does not stream."""
    if request.kind == "generate":
        return _generation(request, number, request.tokens, done=True)
    text = _WORD * request.tokens
    said = {"message": {"role": "assistant", "content": text}} if request.kind == "chat" else {"text": text}
    return {
        "id": f"cmpl-{number:016x}",
        "object": _OBJECTS[request.kind],
        "created": _CREATED,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "length", "logprobs": None, **said}],
        "usage": usage_of(request),
    }


def usage_of(request: Request) -> dict[str, int]:
    """Final usage of a request."""
    return {
        "prompt_tokens": request.prompt_tokens,
        "total_tokens": request.prompt_tokens + request.tokens,
        "completion_tokens": request.tokens,
    }
