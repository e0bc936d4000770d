"""`attribution/*` and `text/tokens`."""

from __future__ import annotations

from typing import Any

from am_inseq_daemon.handlers.context import Context, Handler
from am_inseq_daemon.handlers.dispatch import Dispatcher
from am_inseq_daemon.pool.link import Job
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import make_converter

_converter = make_converter()
_NOT_FOR_WORKERS = ("model", "device", "workDoneToken", "partialResultToken")


def attribution_handlers(dispatcher: Dispatcher) -> dict[str, Handler]:
    """What answers questions about texts."""

    async def compute(context: Context, params: t.AttributionComputeParams) -> dict[str, Any]:
        return await streamed(context, "attribution/compute", params)

    async def in_context(context: Context, params: t.AttributionContextParams) -> dict[str, Any]:
        return await streamed(context, "attribution/context", params)

    async def streamed(
        context: Context,
        method: str,
        params: t.AttributionComputeParams | t.AttributionContextParams,
    ) -> dict[str, Any]:
        """The answer, after all that is heard on the way went to the tokens that ask for it."""

        def hear(value: dict[str, Any]) -> None:
            is_work = value["kind"] == "work"
            token = params.work_done_token if is_work else params.partial_result_token
            if token is not None:
                context.notify(token, value)

        place = (params.model, params.device)
        return await dispatcher.ask(context, place, _job(context, method, params), listener=hear)

    async def tokens(context: Context, params: t.TextTokensParams) -> dict[str, Any]:
        place = (params.model, params.device)
        return await dispatcher.ask(context, place, _job(context, "text/tokens", params))

    return {
        "attribution/compute": compute,
        "attribution/context": in_context,
        "text/tokens": tokens,
    }


def _job(context: Context, method: str, params: Any) -> Job:
    fields: dict[str, Any] = _converter.unstructure(params)
    kept = {name: value for name, value in fields.items() if name not in _NOT_FOR_WORKERS}
    return Job(method, kept, context.encoding)
