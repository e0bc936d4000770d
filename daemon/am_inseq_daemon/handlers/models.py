"""`model/list`, `model/load` and `model/unload`."""

from __future__ import annotations

from typing import Final

from am_inseq_daemon.handlers.context import Context, Handler
from am_inseq_daemon.handlers.dispatch import Dispatcher
from am_inseq_daemon.pool.link import Job
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.errors import fault
from am_inseq_daemon.scheduler.queue import Priority

DEMO_MODELS: Final = {
    "demo/lm": "embedded demo: a small English language model, to try things without a download",
    "demo/en-fr": "embedded demo: a small English-to-French translator",
}


def model_handlers(dispatcher: Dispatcher) -> dict[str, Handler]:
    """What answers questions about models."""
    pool = dispatcher.pool

    async def listed(_context: Context, _params: t.EmptyParams) -> t.ModelListResult:
        held = {worker.model for worker in pool.workers if worker.has_process}
        names = dict.fromkeys([*DEMO_MODELS, dispatcher.default_model, *sorted(held)])
        models = tuple(
            t.KnownModel(
                name=name,
                description=DEMO_MODELS.get(
                    name, "the default model" if name == dispatcher.default_model else ""
                ),
                is_demo=name in DEMO_MODELS,
                is_loaded=name in held,
            )
            for name in names
        )
        return t.ModelListResult(models=models)

    async def load(context: Context, params: t.ModelParams) -> t.ModelStatus:
        model = dispatcher.named(params.model)
        with pool.claim(model, params.device) as worker:
            place = (model, params.device)
            job = Job("model/load", {}, context.encoding)
            await dispatcher.ask(context, place, job, priority=Priority.BULK)
            return worker.status(dispatcher.waiting(worker))

    async def unload(_context: Context, params: t.ModelParams) -> t.EmptyResult:
        model = dispatcher.named(params.model)
        held = pool.held(model, params.device)
        if not held:
            known = sorted(worker.model for worker in pool.workers if worker.has_process)
            names = ", ".join(known) or "none"
            text = f"{model} is not loaded (loaded: {names})"
            raise fault("UnknownNameError", text, what="model", name=model, known=known)
        for worker in held:
            await pool.unload(worker)
        return t.EmptyResult()

    return {"model/list": listed, "model/load": load, "model/unload": unload}
