"""Who answers a request: the daemon, or this very process. Both give the same wire result."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import attrs

from am_inseq_daemon.client import Client, DaemonUnavailable, RequestError, connect
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import make_converter, structure

if TYPE_CHECKING:
    from am_inseq_daemon.worker.host import Host, Loading

Receive = Callable[[t.ProgressValue], None]

DEFAULT_MODEL: Final = "demo/lm"
_CLIENT: Final = "am-inseq"
_TOKENS: Final = ("work_done_token", "partial_result_token")  # the client's own business


class Backend(Protocol):
    """Somebody who answers requests; a context manager that is left when none follows."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_raised: object) -> None: ...

    def attribute(
        self, params: t.AttributionComputeParams, receive: Receive | None
    ) -> t.AttributionComputeResult:
        """The attribution; `receive` hears how it goes."""
        ...

    def context(
        self, params: t.AttributionContextParams, receive: Receive | None
    ) -> t.AttributionContextResult:
        """What depends on the context; `receive` hears how it goes."""
        ...

    def tokens(self, params: t.TextTokensParams) -> t.TextTokensResult:
        """The tokens of a text."""
        ...


class InDaemon:
    """The daemon, which is started if need be."""

    def __init__(self) -> None:
        self._client = daemon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._client.close()

    def attribute(
        self, params: t.AttributionComputeParams, receive: Receive | None
    ) -> t.AttributionComputeResult:
        """The attribution as the daemon computes it."""
        fields = _fields(params)
        return self._client.attribute(fields.pop("prompt"), on_progress=receive, **fields)

    def context(
        self, params: t.AttributionContextParams, receive: Receive | None
    ) -> t.AttributionContextResult:
        """What depends on the context, as the daemon finds it."""
        fields = _fields(params)
        text = fields.pop("input_current_text")
        return self._client.context(text, on_progress=receive, **fields)

    def tokens(self, params: t.TextTokensParams) -> t.TextTokensResult:
        """The tokens of a text as the daemon cuts them."""
        return self._client.tokens(params.text, model=params.model, device=params.device)


class InProcess:
    """This process, which loads torch and each model that it is asked for once.

    Runs jobs as a worker of the daemon would, on this thread.
    """

    def __init__(self, loading: Loading | None = None) -> None:
        self._loading = loading
        self._hosts: dict[tuple[str, str], Host] = {}
        self._messages: list[dict[str, Any]] = []
        self._receive: Receive | None = None
        self._converter = make_converter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._hosts.clear()

    def attribute(
        self, params: t.AttributionComputeParams, receive: Receive | None
    ) -> t.AttributionComputeResult:
        """The attribution as this process computes it."""
        kind = t.AttributionComputeResult
        return self._answer("attribution/compute", params, kind, receive)

    def context(
        self, params: t.AttributionContextParams, receive: Receive | None
    ) -> t.AttributionContextResult:
        """What depends on the context, as this process finds it."""
        kind = t.AttributionContextResult
        return self._answer("attribution/context", params, kind, receive)

    def tokens(self, params: t.TextTokensParams) -> t.TextTokensResult:
        """The tokens of a text as this process cuts them."""
        return self._answer("text/tokens", params, t.TextTokensResult, None)

    def _answer(self, method: str, params: Any, kind: type[Any], receive: Receive | None) -> Any:
        from am_inseq_daemon.worker.jobs import Job

        self._receive = receive
        job = Job(1, method, self._converter.unstructure(params), "utf-32")
        self._host(params.model, params.device).answer(job)
        answer = self._messages.pop()
        if "error" in answer:
            error = answer["error"]
            raise RequestError(error["code"], error["message"], error.get("data") or {})
        return structure(self._converter, answer["result"], kind)

    def _host(self, model: str, device: str) -> Host:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        from am_inseq_daemon.worker.host import Host

        named = default_model() if model == "auto" else model
        place = (named, device)
        if place not in self._hosts:
            self._hosts[place] = Host(named, device, self._hear, self._loading)
        return self._hosts[place]

    def _hear(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._messages.append(message)
        elif message["method"] == "$/progress" and self._receive is not None:
            params = {"token": 0, "value": message["params"]["value"]}
            self._receive(structure(self._converter, params, t.ProgressParams).value)


def daemon(*, start: bool = True) -> Client:
    """A connection to the daemon, which is started if need be and `start` allows it."""
    return connect(start=start, name=_CLIENT)


def running_daemon() -> Client | None:
    """A connection to the daemon that runs, or None."""
    try:
        return daemon(start=False)
    except DaemonUnavailable:
        return None


def default_model() -> str:
    """What the model "auto" stands for."""
    return os.environ.get("AM_INSEQ_MODEL") or DEFAULT_MODEL


def _fields(params: Any) -> dict[str, Any]:
    fields = attrs.asdict(params, recurse=False)
    return {name: value for name, value in fields.items() if name not in _TOKENS}
