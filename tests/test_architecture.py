"""Who may import whom: the core knows no I/O, engines are never imported, nobody imports the plugin."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pytest_specdec"
MODULES = sorted(PACKAGE.rglob("*.py"))
ADAPTERS = {
    "settings", "options", "plugin", "session", "judged", "progress", "ending", "__main__", "measuring",
    "hookspec", "campaign", "campaign_setup", "selftest", "gating", "accepting", "stored_off", "planning", "refused",
    "beside", "reading", "run_folder", "sigterm", "compare_command", "saved_run_commands", "simulate_command",
    "command_line",
    "suite_cells", "cell_list", "baseline_commands", "gate_commands", "surfaces", "benchmark",
    "option_values", "stash", "fixtures", "outcomes",
}  # fmt: skip
SHELL = ("load", "engine", "simulator", "sources", "telemetry", "report")
STANDARD_IO = {"asyncio", "http", "socket", "subprocess", "urllib.request"}
NEVER_IN_CORE = {"pytest", "aiohttp", "openai", "pandas", "tabulate", "uvloop", "prometheus_client", *STANDARD_IO}
ENGINES = {"vllm", "sglang", "tensorrt_llm", "torch", "transformers"}


def part(path: Path) -> str:
    """`adapter`, a folder of the shell, or `core`: everything else."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if name in ADAPTERS:
        return "adapter"
    return name if name in SHELL else "core"


def imports(path: Path) -> Iterator[str]:
    """Full names of imported modules; of `from a import b` both `a` and `a.b`, for `b` may be a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def own(path: Path) -> set[str]:
    """Parts of this package that a module imports."""
    found = set()
    for name in imports(path):
        if name.startswith("pytest_specdec."):
            target = PACKAGE.parent / name.replace(".", "/")
            if target.is_dir() or target.with_suffix(".py").exists():
                found.add(part(target / "__init__.py" if target.is_dir() else target.with_suffix(".py")))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    mine, names = part(path), set(imports(path))
    roots = {name.split(".")[0] for name in names}
    assert not roots & ENGINES, "engines are processes behind HTTP"
    assert not any(name.startswith("pytest_specdec.plugin") for name in names), "nobody imports the plugin"
    if mine == "core":
        assert not (names | roots) & NEVER_IN_CORE
        assert own(path) <= {"core"}
    elif mine in SHELL:
        assert "pytest" not in roots
        assert own(path) <= {"core", mine}


def test_only_hooks_and_settings_import_pytest() -> None:
    found = {path.stem for path in MODULES if "pytest" in {name.split(".")[0] for name in imports(path)}}
    hooks = {"plugin", "fixtures", "outcomes", "stash", "hookspec", "cell_list", "surfaces", "benchmark"}
    assert found == hooks | {"settings", "options"}
