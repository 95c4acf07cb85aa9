"""Merge fine-tuned checkpoints, one per language, into the best single checkpoint for the language you need."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("sprachbund")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
