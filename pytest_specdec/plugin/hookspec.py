"""Hooks that a suite's conftest may implement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_specdec.domain.cell import EngineSpec
    from pytest_specdec.engine.template import Template


@pytest.hookspec(firstresult=True)
def pytest_specdec_launch(
    name: str, version: str, engine: EngineSpec, values: Mapping[str, str], default: Template
) -> Template | None:
    """Choose how `--specdec-launch` starts and stops one engine of the plan.

    :param name: The value of `--specdec-launch`, such as ``vllm``.
    :param version: The release installed for ``specdec_launch_python``; empty when unknown.
    :param engine: Model, precision, parallelism, MTP mode and acceptance of the engine to start.
    :param values: Values of the placeholders; the engine must listen on ``{port}``.
    :param default: The template used when the hook returns None; ``dataclasses.replace(default, ...)``.
    """
