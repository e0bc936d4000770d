"""The process that keeps models loaded, and what talks to it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("am_inseq-am")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0"
