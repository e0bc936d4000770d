"""The suite's own guards."""

from __future__ import annotations

import os
import socket

import pytest


def test_the_network_is_refused():
    with pytest.raises(AssertionError, match="asked for the network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_names_are_not_looked_up():
    with pytest.raises(AssertionError, match="asked for the network"):
        socket.create_connection(("huggingface.co", 443), timeout=1)


def test_this_machine_and_unix_sockets_are_within_reach(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))


def test_the_hub_is_switched_off():
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
