"""The simulated engine in a process of its own, as a real one runs."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.errors import EngineError

_START_S = 60.0
_STOP_S = 5.0


@contextmanager
def simulated_engine(preset: str, engine: EngineSpec, *, fault: str | None = None) -> Iterator[Endpoint]:
    """Start the simulated engine on a free port, and stop it at the end in any case.

    Raises:
        EngineError: it did not start; the message carries its last lines.
    """
    command = [sys.executable, "-m", "pytest_specdec", "simulate", "--preset", preset, "--mtp", str(engine.mtp)]
    command += ["--model", engine.model, "--port", "0", "--exit-with-parent"]
    if engine.speculation.pinned_length is not None:
        command += ["--acceptance", engine.acceptance]
    if fault is not None:
        command += ["--fault", fault]
    process = subprocess.Popen(  # noqa: S603 - our own module
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Ctrl-C reaches pytest only, which saves the measured points before it stops the engine.
        start_new_session=True,
    )
    try:
        yield Endpoint(url=_ready_url(process))
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ready_url(process: subprocess.Popen[bytes]) -> str:
    """URL that the engine prints when it is ready."""
    assert process.stdout is not None, "unreachable because stdout is a pipe"
    said = b""
    deadline = time.monotonic() + _START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            read = os.read(process.stdout.fileno(), 65536)
            said += read
            for line in said.decode(errors="replace").splitlines():
                if " ready at http" in line:
                    return line.rpartition(" ready at ")[2].strip()
            if not read:
                break
    last = " / ".join(said.decode(errors="replace").strip().splitlines()[-3:]) or "it printed nothing"
    raise EngineError(f"the simulated engine did not start: {last}")
