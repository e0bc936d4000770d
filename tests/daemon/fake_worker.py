"""A worker without torch: speaks the same frames and misbehaves on demand."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from typing import Any

from am_inseq_daemon.protocol.codec import pack, unpack
from am_inseq_daemon.transport.framing import FrameReader, frame

arguments = argparse.ArgumentParser()
for name in ("--fd", "--parent", "--model", "--device"):
    arguments.add_argument(name)
options = arguments.parse_args()
connection = socket.socket(fileno=int(options.fd))
cancelled: dict[int, threading.Event] = {}
sending = threading.Lock()


def send(message: dict[str, Any]) -> None:
    with sending:
        connection.sendall(frame(pack(message)))


def work(number: int, method: str, params: dict[str, Any]) -> None:
    flag = cancelled[number]
    if options.model == "missing":
        data = {"kind": "ModelNotFoundError"}
        send({"id": number, "error": {"code": 1105, "message": "no such model", "data": data}})
        return
    if options.model == "never loaded":
        threading.Event().wait(60)
    if options.model == "loaded late" and method == "until cancelled":
        flag.wait(30)
        threading.Event().wait(0.7)  # longer than the grace of the tests
    facts = {"device": "cpu", "dtype": "float32", "is_demo": False, "memory_bytes": 1}
    send({"method": "loaded", "params": facts})
    news = {"kind": "work", "stage": "attributing", "done": 0, "total": 1, "message": method}
    send({"method": "$/progress", "params": {"token": number, "value": news}})
    if method == "crash":
        sys.stderr.write("CUDA error: an illegal memory access\n")
        sys.stderr.flush()
        os._exit(3)
    if method == "babble":
        for part in ("o", "ne\n\n", "x" * 50_000, "\nlast"):
            sys.stderr.write(part)
            sys.stderr.flush()
    if method == "until cancelled":
        flag.wait(30)
        data = {"kind": "RequestCancelled"}
        send({"id": number, "error": {"code": -32800, "message": "cancelled", "data": data}})
    elif method == "deaf":
        threading.Event().wait(60)
    else:
        send({"id": number, "result": {"pid": os.getpid(), **params}})


reader = FrameReader(connection)
while (body := reader.read()) is not None:
    message = unpack(body)
    if message["method"] == "$/cancelRequest":
        cancelled[message["params"]["id"]].set()
        continue
    cancelled[message["id"]] = threading.Event()
    job = (message["id"], message["method"], message["params"])
    threading.Thread(target=work, args=job, daemon=True).start()
os._exit(0)
