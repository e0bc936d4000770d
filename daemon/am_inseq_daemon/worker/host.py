"""The model that lives in this process, and what it answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import make_converter, structure
from am_inseq_daemon.worker.asking import request_of
from am_inseq_daemon.worker.context import context_result
from am_inseq_daemon.worker.convert import to_error, to_partial, to_result, to_tokens
from am_inseq_daemon.worker.jobs import Job
from am_inseq_daemon.worker.whole import aggregated_view, whole_output, write_whole

if TYPE_CHECKING:
    from am_inseq.attribute import Listener
    from am_inseq.models.huggingface import HuggingFaceModel

Send = Callable[[dict[str, Any]], None]

BLOCK_TARGETS: Final = 8

_converter = make_converter()


def worker_threads() -> int:
    """Threads of one worker: AM_INSEQ_THREADS, else the cores less one, which the person keeps."""
    wanted = os.environ.get("AM_INSEQ_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return max(1, (os.cpu_count() or 2) - 1)


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is loaded, beyond its name and device.

    Attributes:
        model_kwargs: what transformers takes when it loads a model.
        tokenizer_kwargs: what it takes when it loads a tokenizer.
    """

    model_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tokenizer_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Host:
    """Loads the model when the first job comes and answers jobs on the lane's thread."""

    def __init__(self, model: str, device: str, send: Send, loading: Loading | None = None) -> None:
        self._name, self._device, self._send = model, device, send
        self._loading = loading or Loading()
        self._model: HuggingFaceModel | None = None

    def answer(self, job: Job) -> None:
        """Runs one job and sends its answer; nothing is raised."""
        try:
            job.token.checkpoint()
            model = self._loaded(job)
            job.token.checkpoint()
            result = _ANSWERS[job.method](model, job, lambda value: self._publish(job, value))
            body = {"id": job.number, "result": _converter.unstructure(result)}
        except Exception as error:  # noqa: BLE001 - a bad job must not end the worker
            body = {"id": job.number, "error": _converter.unstructure(to_error(error))}
        self._send(body)

    def _loaded(self, job: Job) -> HuggingFaceModel:
        if self._model is None:
            self._publish(
                job,
                t.WorkProgress(stage="loading", done=0, total=0, message=f"loading {self._name}"),
            )
            import torch

            from am_inseq.models.load import load_model

            torch.set_num_threads(worker_threads())
            self._model = model = load_model(
                self._name,
                device=self._device,
                model_kwargs=self._loading.model_kwargs,
                tokenizer_kwargs=self._loading.tokenizer_kwargs,
            )
            self._send({"method": "loaded", "params": _facts(model)})
        return self._model

    def _publish(self, job: Job, value: t.ProgressValue) -> None:
        params = {"token": job.number, "value": _converter.unstructure(value)}
        self._send({"method": "$/progress", "params": params})


Publish = Callable[[t.ProgressValue], None]


def _compute(model: HuggingFaceModel, job: Job, publish: Publish) -> t.AttributionComputeResult:
    from am_inseq.attribute import attribute

    params = structure(_converter, job.params, t.AttributionComputeParams)
    request = request_of(model, params)
    attribution = attribute(model, request, _listener(job, params.prompt, publish))
    if params.save_path is None and params.aggregation is None:
        return to_result(attribution, job.encoding)
    output = whole_output(model, params, request, attribution)
    if params.save_path is not None:
        write_whole(output, params.save_path)
    shown = params.aggregation and aggregated_view(output, params.aggregation)
    return to_result(attribution, job.encoding, shown)


def _context(model: HuggingFaceModel, job: Job, publish: Publish) -> t.AttributionContextResult:
    params = structure(_converter, job.params, t.AttributionContextParams)
    listener = _plain_listener(job, publish)
    return context_result(model, params, job.encoding, listener)


def _tokens(model: HuggingFaceModel, job: Job, _publish: Publish) -> t.TextTokensResult:
    from am_inseq.attribute import tokenize

    params = structure(_converter, job.params, t.TextTokensParams)
    tokens = tokenize(model, params.text)
    return t.TextTokensResult(tokens=to_tokens(tokens, params.text, "", job.encoding))


def _load(_model: HuggingFaceModel, _job: Job, _publish: Publish) -> t.EmptyResult:
    return t.EmptyResult()


_ANSWERS: Final[dict[str, Callable[[HuggingFaceModel, Job, Publish], Any]]] = {
    "attribution/compute": _compute,
    "attribution/context": _context,
    "text/tokens": _tokens,
    "model/load": _load,
}


def _plain_listener(job: Job, publish: Publish) -> Listener:
    from am_inseq.attribute import Listener

    class Telling(Listener):
        """Sends the continuation and the progress to the front."""

        def checkpoint(self) -> None:
            job.token.checkpoint()

        def on_continuation(self, text: str, *, is_final: bool) -> None:
            publish(t.PartialContinuation(text=text, is_final=is_final))

        def on_progress(self, stage: str, done: int, total: int) -> None:
            publish(t.WorkProgress(stage=cast("Any", stage), done=done, total=total, message=stage))

    return Telling()


def _listener(job: Job, prompt: str, publish: Publish) -> Listener:
    from am_inseq.attribute import Listener

    encoding: t.PositionEncoding = job.encoding

    class Streaming(Listener):
        """Sends what it hears to the front."""

        block_targets = BLOCK_TARGETS

        def checkpoint(self) -> None:
            job.token.checkpoint()

        def on_prompt(self, tokens: tuple[Any, ...]) -> None:
            publish(t.PartialPrompt(tokens=to_tokens(tokens, prompt, "", encoding)))

        def on_continuation(self, text: str, *, is_final: bool) -> None:
            publish(t.PartialContinuation(text=text, is_final=is_final))

        def on_progress(self, stage: str, done: int, total: int) -> None:
            publish(t.WorkProgress(stage=cast("Any", stage), done=done, total=total, message=stage))

        def on_block(self, partial: Any) -> None:
            publish(to_partial(partial, encoding))

    return Streaming()


def _facts(model: HuggingFaceModel) -> dict[str, Any]:
    return {
        "device": model.device,
        "dtype": model.dtype,
        "is_demo": model.is_demo,
        "memory_bytes": model.memory_bytes,
    }
