"""Run a load generator of SGLang from its wheel alone: `python sglang_launcher.py python|rust ARGUMENTS...`.

Importing `sglang` imports the whole engine, which needs a GPU's libraries. The load generators need a few light modules
of it: the packages above those are set up empty here, and the code that measures is untouched. It runs in SGLang's own
environment and imports nothing but the standard library besides.
"""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType

_HOLLOW = ("sglang", "sglang.srt", "sglang.srt.utils", "sglang.srt.rust_extensions")
_RUST_CLIENT = "sglang.srt.rust_extensions._bench"
_PYTHON_CLIENT = "sglang.benchmark.serving"


def _hollow_out() -> None:
    spec = importlib.util.find_spec("sglang")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("SGLang is not installed here")
    root = Path(next(iter(spec.submodule_search_locations)))
    for name in _HOLLOW:
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    # Of its package only this name is wanted, in a module that imports torch.
    disaggregation = ModuleType("sglang.srt.disaggregation.utils")
    vars(disaggregation)["FAKE_BOOTSTRAP_HOST"] = "2.2.2.2"
    sys.modules["sglang.srt.disaggregation"] = ModuleType("sglang.srt.disaggregation")
    sys.modules["sglang.srt.disaggregation.utils"] = disaggregation


def main() -> None:
    kind, *arguments = sys.argv[1:]
    _hollow_out()
    if kind == "rust":
        importlib.import_module(_RUST_CLIENT).run_argv(["sglang-bench", *arguments])
    else:
        sys.argv = ["sglang.benchmark.serving", *arguments]
        runpy.run_module(_PYTHON_CLIENT, run_name="__main__")


if __name__ == "__main__":
    main()
