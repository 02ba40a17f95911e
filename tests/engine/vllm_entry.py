"""Start the `vllm` command line inside the interpreter where vLLM is installed: `python vllm_entry.py serve MODEL ...`.

For the tests with the CPU build (`vllm-cpu`); `--specdec-launch vllm` starts a plain `vllm serve`. It runs in the
engine's own environment and therefore imports nothing but the standard library and vLLM. It passes any other build
through. The CPU build needs what follows:

- Its distribution is not named `vllm`, and the command line asks for the version of `vllm` and dies.
- By default it pins its worker to core 0 and runs three busy processes; on a small machine they starve the HTTP server,
  which then sends its chunks in bursts: TTFT and ITL as the client sees them become artefacts.
- The first request with logprobs compiles for up to half a minute.
- Its worker is spawned and imports vLLM a second time (about ten seconds); a forked one has it already.
- It refuses synthetic acceptance; `vllm_cpu_synthetic` beside this file puts it in when a command line asks for it.

Temperature above 0 together with speculation gives garbage in that wheel (0.32.0): measure it at temperature 0.
"""

import importlib.metadata
import os
import sys

CPU_ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}
"""Defaults only: what the user has set stays."""


def main() -> None:
    """Run vLLM's own command line."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if _is_cpu_build():
        for name, value in CPU_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        _answer_for_vllm()
        _fork_workers()
        if any('"synthetic"' in argument for argument in sys.argv):
            from vllm_cpu_synthetic import install

            install()
            sys.stderr.write("vllm_entry: synthetic acceptance is a patch of the tests for the CPU build\n")
    from vllm.entrypoints.cli.main import main as vllm

    sys.argv[0] = "vllm"
    sys.exit(vllm())


def _is_cpu_build() -> bool:
    try:
        importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _answer_for_vllm() -> None:
    version = importlib.metadata.version

    def answer(distribution_name: str) -> str:
        return f"{version('vllm-cpu')}+cpu" if distribution_name == "vllm" else version(distribution_name)

    importlib.metadata.version = answer


def _fork_workers() -> None:
    from vllm.platforms.cpu import CpuPlatform

    check = CpuPlatform.check_and_update_config.__func__

    def check_and_fork(cls: object, config: object) -> None:
        check(cls, config)
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    CpuPlatform.check_and_update_config = classmethod(check_and_fork)


if __name__ == "__main__":
    main()
