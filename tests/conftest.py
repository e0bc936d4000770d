"""What holds for every test: no network, one thread, the same seeds."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import random
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")  # noqa: S104

settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("search", settings.get_profile("suite"), derandomize=False)
settings.load_profile("suite")


class NetworkRefusedError(AssertionError):
    """A test asked for something beyond this machine."""


def _guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        is_inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if is_inet and not str(address[0]).startswith(_LOCAL):
            raise NetworkRefusedError(f"a test asked for the network: {address}")
        return connect(self, address)

    return guarded


def _guarded_lookup(lookup: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not name.startswith(_LOCAL):
            raise NetworkRefusedError(f"a test asked for the network: {name}")
        return lookup(host, *args, **kwargs)

    return guarded


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Numbers that tests measured and want to be seen (`record_property("told", …)`)."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    told = [
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "told" and report.when == "call"
    ]
    if told:
        terminalreporter.section("measured")
    for line in told:
        terminalreporter.line(line)


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
        yield


@pytest.fixture(autouse=True)
def _same_seeds():
    random.seed(0)
    for name, seed in (("numpy", "random.seed"), ("torch", "manual_seed")):
        if name in sys.modules:  # never loads either for tests that do without
            place: Any = sys.modules[name]
            for part in seed.split("."):
                place = getattr(place, part)
            place(0)
