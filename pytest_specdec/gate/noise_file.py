"""The noise model of a selftest, stored beside the baselines of its hardware."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pytest_specdec.domain.environment import Environment
from pytest_specdec.errors import BrokenFileError
from pytest_specdec.gate.noise import SuiteNoise
from pytest_specdec.results.baseline import safe_name
from pytest_specdec.results.files import write_whole


def noise_file(folder: Path, environment: Environment) -> Path:
    """Path of a noise model: in the folder of the hardware's baselines, by engine."""
    return folder / safe_name(environment.hardware) / f"noise-{safe_name(environment.engine)}.json"


def load_noise(path: Path) -> SuiteNoise:
    """Read the noise model of a selftest.

    Raises:
        BrokenFileError: the file is no noise model.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=SuiteNoise)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenFileError(f"broken noise model {path}: {error}; write it anew with specdec selftest") from error


def save_noise(noise: SuiteNoise, path: Path) -> None:
    """Write the noise model of a selftest."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(noise), indent=1).decode() + "\n")
