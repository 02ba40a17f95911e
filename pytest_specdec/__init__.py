"""Gate LLM engine upgrades on what multi-token prediction really buys."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("pytest-specdec")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
