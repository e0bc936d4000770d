"""Every method of the protocol, in one table."""

from __future__ import annotations

from typing import Final

import attrs

from am_inseq_daemon.protocol import types as t

PROTOCOL_VERSION: Final = 1


@attrs.frozen
class Method:
    """One method: its name on the wire, what it takes and what it answers (None: nothing)."""

    name: str
    params: type
    result: type | None
    summary: str


METHODS: Final[dict[str, Method]] = {
    m.name: m
    for m in (
        Method("initialize", t.InitializeParams, t.InitializeResult, "opens the conversation"),
        Method("shutdown", t.EmptyParams, t.EmptyResult, "no request follows; then `exit`"),
        Method("exit", t.EmptyParams, None, "closes this connection, nothing else"),
        Method("$/cancelRequest", t.CancelParams, None, "stops the work on a request"),
        Method("$/progress", t.ProgressParams, None, "from the daemon: news about a request"),
        Method("daemon/ping", t.EmptyParams, t.PingResult, "the daemon's pulse"),
        Method("daemon/status", t.EmptyParams, t.DaemonStatusResult, "all it holds and does"),
        Method("daemon/stop", t.EmptyParams, t.EmptyResult, "ends the daemon and its workers"),
        Method("daemon/log", t.LogParams, t.LogResult, "the last lines of its log"),
        Method("catalogue/read", t.EmptyParams, t.CatalogueResult, "what a request may name"),
        Method("model/list", t.EmptyParams, t.ModelListResult, "the models that it knows of"),
        Method("model/load", t.ModelParams, t.ModelStatus, "loads a model ahead of time"),
        Method("model/unload", t.ModelParams, t.EmptyResult, "ends the process of a model"),
        Method("text/tokens", t.TextTokensParams, t.TextTokensResult, "cuts a text into tokens"),
        Method(
            "attribution/compute",
            t.AttributionComputeParams,
            t.AttributionComputeResult,
            "how much each token mattered to each token that follows",
        ),
        Method(
            "attribution/context",
            t.AttributionContextParams,
            t.AttributionContextResult,
            "which tokens of an output depend on a context, and on what there",
        ),
    )
}
