"""HTTP server of the simulated engine: the core in real time behind OpenAI-compatible endpoints.

Steps are paced on an absolute time line: a late wake-up is caught up with and never moves the steps after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import uvloop
from aiohttp import web

from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.simulator.answer import AnswerForm, Job
from pytest_specdec.simulator.core import EngineCore, Sequence
from pytest_specdec.simulator.dialects.dialect import View
from pytest_specdec.simulator.dialects.registry import DIALECTS
from pytest_specdec.simulator.faults.catalogue import find_fault
from pytest_specdec.simulator.faults.fault import HEALTHY
from pytest_specdec.simulator.model import AcceptanceModel, Preset
from pytest_specdec.simulator.presets import find_preset
from pytest_specdec.simulator.speaking import Ask, Speaker
from pytest_specdec.version import __version__

SIMULATED_HEADER = "X-Specdec-Simulated"
_PARENT_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Options of a simulated engine."""

    preset: str
    mtp: int = 0
    model: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = field(default=None, repr=False)
    seed: int = 0
    max_running: int | None = None
    dialect: str = "vllm"
    """Engine to imitate, one of DIALECTS: its endpoints, metrics and habits."""
    acceptance: float | None = None
    """Pin the acceptance length, as engines' synthetic modes do."""
    prompt_spread: float = 0.0
    """Spread of acceptance over prompts, see `AcceptanceModel`; a prompt has the same in every run."""
    stream_interval: int = 1
    """Engine steps per chunk, after the first."""
    metrics: bool = True
    """False: metrics are switched off, as they are by default in some engines."""
    control: bool = True
    """False: endpoints that vLLM shows in development mode only are hidden."""
    details: bool = True
    """False: answers carry no details of their own speculation, as without `--per-request-spec-decode-metrics`."""
    speed: float = 1.0
    """Time scale; 10 runs ten times faster than the engine that is simulated."""
    stop_after: int | None = None
    """A fault for tests: every answer ends by itself after so many tokens, whatever was asked."""
    fail_after: int | None = None
    """A fault for tests: every stream breaks off with an error event after so many tokens."""
    fault: str | None = None
    """Id of a fault in `faults.catalogue.FAULTS`, or `id@0.5` for half of it."""
    exit_with_parent: bool = False


class Server:
    """A running simulated engine."""

    def __init__(self, runner: web.AppRunner, url: str) -> None:
        self._runner = runner
        self.url = url
        """Base URL with `/v1`."""

    async def close(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()


async def start(options: SimulatorOptions) -> Server:
    """Start serving on the running event loop.

    Raises:
        EngineError: the address is taken, or the fault is that the engine does not start.
        InvalidInputError: no such preset, dialect or fault, or more draft tokens than the preset has acceptance for.
    """
    shell = _Shell(options)
    runner = web.AppRunner(shell.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise EngineError(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}") from error
    port = runner.addresses[0][1]
    return Server(runner, f"http://{options.host}:{port}/v1")


def serve(options: SimulatorOptions) -> None:
    """Serve until SIGTERM or Ctrl-C; prints one line with the URL when ready."""
    if options.exit_with_parent:
        threading.Thread(target=_follow_parent, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(options))


async def _serve(options: SimulatorOptions) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await start(options)
    mode = f"MTP {options.mtp}" if options.mtp else "Off"
    # After the handlers are set: a reader of this line may send a signal at once.
    print(f"simulated engine {options.preset} ({mode}) ready at {server.url}", flush=True)  # noqa: T201
    await stop.wait()
    await server.close()


def _follow_parent(parent: int) -> None:
    """End with the parent process, also when it is killed."""
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


class _RefusedError(Exception):
    """Refusal of a request, answered in the shape of OpenAI's errors."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class _Shell:
    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        if options.dialect not in DIALECTS:
            raise InvalidInputError(f"unknown dialect {options.dialect!r}; there are: {', '.join(DIALECTS)}")
        self.dialect = DIALECTS[options.dialect]
        self.preset: Preset = find_preset(options.preset)
        if options.acceptance is not None:
            pinned = AcceptanceModel.pinned(options.acceptance, options.mtp)
            self.preset = replace(self.preset, acceptance=pinned)
        elif options.prompt_spread:
            varied = replace(self.preset.acceptance, prompt_spread=options.prompt_spread)
            self.preset = replace(self.preset, acceptance=varied)
        self.model = options.model or self.preset.model
        max_running = options.max_running or self.dialect.max_running(options.mtp)
        fault = find_fault(options.fault) if options.fault else HEALTHY
        self.core = EngineCore(self.preset, mtp=options.mtp, seed=options.seed, max_running=max_running, fault=fault)
        self.fault = self.core.fault
        self.stream_interval = max(options.stream_interval, self.fault.serving.stream_interval)
        self.jobs: dict[int, Job] = {}
        self.speaker = Speaker(fault=self.fault, stop_after=options.stop_after)
        self.started = time.time()
        self.late_sum = self.late_max = 0.0
        self.events = 0
        self._timer: asyncio.TimerHandle | None = None
        speed = "" if options.speed == 1 else f"-x{options.speed:g}"
        self.fingerprint = f"simulated-{self.preset.name}-mtp{options.mtp}{speed}"

    def application(self) -> web.Application:
        """Routes of the endpoints that engines share; the dialect answers the rest."""
        application = web.Application(middlewares=[self._guard], client_max_size=64 * 2**20)
        application.add_routes(
            [
                web.get("/health", self._health),
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", partial(self._answer, chat=True)),
                web.post("/v1/completions", partial(self._answer, chat=False)),
                web.route("*", "/{path:.*}", self._control),
            ]
        )
        return application

    # ---- time

    def _now(self) -> float:
        return asyncio.get_running_loop().time() * self.options.speed

    def _arm(self) -> None:
        """Wake up at the core's next event; an earlier timer for the same event stays."""
        if self._timer is None and self.core.next_event is not None:
            at = self.core.next_event / self.options.speed
            self._timer = asyncio.get_running_loop().call_at(at, self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._now()
        while self.core.next_event is not None and self.core.next_event <= now:
            late = (now - self.core.next_event) / self.options.speed
            self.events += 1
            self.late_sum += late
            self.late_max = max(self.late_max, late)
            for emission in self.core.complete():
                job = self.jobs.get(emission.key)
                if job is not None:
                    job.emissions.put_nowait(emission.tokens)
        self._arm()

    # ---- requests

    async def _answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        body = await request.read()
        try:
            ask = msgspec.json.decode(body, type=Ask)
            asked: dict[str, Any] = msgspec.json.decode(body)
        except msgspec.MsgspecError as error:
            raise _RefusedError(400, f"the request is not valid: {error}") from error
        self._refuse_unknown(asked)
        job = self._job(ask, chat=chat)
        if job.script.stuck:
            await asyncio.Event().wait()  # until the client gives up
        if self.core.dead:
            raise _RefusedError(500, self.core.dead, "InternalServerError")
        self.jobs[job.key] = job
        sequence = Sequence(
            key=job.key, prompt_tokens=job.prompt_tokens, max_tokens=job.max_tokens, prompt=job.script.seed
        )
        self.core.submit(sequence, self._now())
        self._arm()
        form = AnswerForm(
            job,
            model=self.model,
            fingerprint=self.fingerprint,
            chat=chat,
            options=ask.stream_options or {},
            top_logprobs=(ask.top_logprobs or 0) if ask.logprobs else None,
        )
        try:
            if not ask.stream:
                return await self._whole(job, form)
            details = (lambda: self.dialect.details(asked, sequence)) if self.options.details else dict
            return await self._stream(request, job, form, details)
        finally:
            # Reached by a finished request, a broken connection and a cancelled handler alike.
            del self.jobs[job.key]
            self.core.abort(job.key)

    def _job(self, ask: Ask, *, chat: bool) -> Job:
        if ask.model != self.model:
            raise _RefusedError(
                404, f"the model {ask.model!r} does not exist; this server has {self.model!r}", "NotFoundError"
            )
        if ask.tokens < 1:
            raise _RefusedError(400, "max_tokens must be at least 1")
        job = self.speaker.job(ask, chat=chat)
        if job.prompt_tokens + ask.tokens > self.preset.max_context:
            raise _RefusedError(
                400,
                f"this model's maximum context length is {self.preset.max_context} tokens; the prompt has "
                f"{job.prompt_tokens} and max_tokens is {ask.tokens}",
            )
        return job

    async def _stream(
        self, request: web.Request, job: Job, form: AnswerForm, details: Callable[[], dict[str, Any]]
    ) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream; charset=utf-8", SIMULATED_HEADER: self.preset.name}
        response = web.StreamResponse(headers=headers)
        produced = 0
        while produced < job.max_tokens:
            tokens = await self._tokens(job, produced)
            if not tokens:
                await self._broken(response, form)
                return response
            chunk = form.chunk(produced, tokens)
            if not produced:
                await response.prepare(request)
                chunk = form.role() + chunk
            produced += tokens
            if self.options.fail_after is not None and produced >= self.options.fail_after:
                await response.write(chunk + form.broken())
                return response
            if produced >= job.max_tokens:
                chunk += form.end(details())
            if chunk:
                await response.write(chunk)
        await response.write_eof()
        return response

    async def _tokens(self, job: Job, produced: int) -> int:
        """Tokens of the next chunk; 0 when the engine has died."""
        tokens = await job.emissions.get()
        for _ in range(self.stream_interval - 1 if produced else 0):
            if not tokens or produced + tokens >= job.max_tokens:
                break
            more = await job.emissions.get()
            if not more:
                job.emissions.put_nowait(0)  # that is for the next chunk to find
                break
            tokens += more
        return tokens

    async def _broken(self, response: web.StreamResponse, form: AnswerForm) -> None:
        if not response.prepared:
            raise _RefusedError(500, self.core.dead, "InternalServerError")
        await response.write(form.broken(self.core.dead))

    async def _whole(self, job: Job, form: AnswerForm) -> web.Response:
        produced = 0
        while produced < job.max_tokens:
            tokens = await job.emissions.get()
            if not tokens:
                raise _RefusedError(500, self.core.dead, "InternalServerError")
            produced += tokens
        return web.Response(body=form.whole(), content_type="application/json")

    # ---- control

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401 - aiohttp's
        """Check the key, shape errors as OpenAI does, and mark every response as simulated."""
        try:
            self._check_key(request)
            response: web.StreamResponse = await handler(request)
        except _RefusedError as error:
            body = {"error": {"message": str(error), "type": error.kind, "code": error.status}}
            response = web.json_response(body, status=error.status)
        if not response.prepared:
            response.headers[SIMULATED_HEADER] = self.preset.name
        return response

    def _check_key(self, request: web.Request) -> None:
        key = self.options.api_key
        if key and request.path.startswith("/v1") and request.headers.get("Authorization", "") != f"Bearer {key}":
            raise _RefusedError(401, "invalid API key", "authentication_error")

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=503 if self.core.dead else 200)

    async def _models(self, _: web.Request) -> web.Response:
        entry = {
            "id": self.model,
            "object": "model",
            "created": int(self.started),
            "owned_by": self.dialect.owner,
            "root": self.preset.model,
            "max_model_len": self.preset.max_context,
        }
        return web.json_response({"object": "list", "data": [entry]})

    def _refuse_unknown(self, asked: dict[str, Any]) -> None:
        known = self.dialect.known_fields
        unknown = [] if known is None else sorted(asked.keys() - known)
        if unknown:
            raise _RefusedError(400, f"{unknown[0]}: Extra inputs are not permitted")

    async def _control(self, request: web.Request) -> web.Response:
        own = {
            "process_start_time_seconds": self.started,
            "specdec_simulator_events": self.events,
            "specdec_simulator_late_seconds_sum": self.late_sum,
            "specdec_simulator_late_seconds_max": self.late_max,
        }
        view = View(
            core=self.core.shown(),
            model=self.model,
            version=__version__,
            stream_interval=self.stream_interval,
            metrics=self.options.metrics,
            control=self.options.control,
            pinned=self.options.acceptance is not None,
            own=own,
        )
        reply = self.dialect.reply(request.method, request.path, view)
        if reply is None:
            raise _RefusedError(404, f"there is no {request.method} {request.path}", "NotFoundError")
        if isinstance(reply.content, str):
            return web.Response(text=reply.content, status=reply.status, content_type="text/plain")
        return web.json_response(reply.content, status=reply.status)
