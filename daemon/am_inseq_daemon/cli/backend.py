"""Who answers a request: the daemon, or this very process. Both give the same wire result."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import attrs

from am_inseq_daemon.client import Client, DaemonUnavailable, RequestError, connect
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import make_converter, structure

Receive = Callable[[t.ProgressValue], None]

DEFAULT_MODEL: Final = "demo/lm"
_CLIENT: Final = "am-inseq"


def daemon(*, start: bool = True) -> Client:
    """A connection to the daemon, which is started if need be and `start` allows it."""
    return connect(start=start, name=_CLIENT)


def running_daemon() -> Client | None:
    """A connection to the daemon that runs, or None."""
    try:
        return daemon(start=False)
    except DaemonUnavailable:
        return None


def attribute_in_daemon(
    params: t.AttributionComputeParams, receive: Receive | None
) -> t.AttributionComputeResult:
    """The attribution as the daemon computes it."""
    fields = attrs.asdict(params)
    for token in ("work_done_token", "partial_result_token"):  # the client's own business
        del fields[token]
    with daemon() as client:
        return client.attribute(fields.pop("prompt"), on_progress=receive, **fields)


def attribute_in_process(
    params: t.AttributionComputeParams, receive: Receive | None
) -> t.AttributionComputeResult:
    """The attribution as this process computes it; loads torch."""
    kind = t.AttributionComputeResult
    return _answer("attribution/compute", params, kind, receive)


def tokens_in_daemon(params: t.TextTokensParams) -> t.TextTokensResult:
    """The tokens of a text as the daemon cuts them."""
    with daemon() as client:
        return client.tokens(params.text, model=params.model, device=params.device)


def tokens_in_process(params: t.TextTokensParams) -> t.TextTokensResult:
    """The tokens of a text as this process cuts them; loads torch."""
    return _answer("text/tokens", params, t.TextTokensResult, None)


def default_model() -> str:
    """What the model "auto" stands for."""
    return os.environ.get("AM_INSEQ_MODEL") or DEFAULT_MODEL


def _answer(method: str, params: Any, kind: type[Any], receive: Receive | None) -> Any:
    """Runs one job as a worker of the daemon would, on this thread."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from am_inseq_daemon.worker.host import Host
    from am_inseq_daemon.worker.jobs import Job

    converter = make_converter()
    answers: list[dict[str, Any]] = []

    def send(message: dict[str, Any]) -> None:
        if "id" in message:
            answers.append(message)
        elif message["method"] == "$/progress" and receive is not None:
            params = {"token": 0, "value": message["params"]["value"]}
            receive(structure(converter, params, t.ProgressParams).value)

    model = default_model() if params.model == "auto" else params.model
    job = Job(1, method, converter.unstructure(params), "utf-32")
    Host(model, params.device, send).answer(job)
    answer = answers[-1]
    if "error" in answer:
        error = answer["error"]
        raise RequestError(error["code"], error["message"], error.get("data") or {})
    return structure(converter, answer["result"], kind)
