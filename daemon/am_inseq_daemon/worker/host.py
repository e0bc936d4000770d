"""The model that lives in this process, and what it answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import make_converter, structure
from am_inseq_daemon.worker.convert import to_error, to_partial, to_result, to_tokens
from am_inseq_daemon.worker.jobs import Job

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


class Host:
    """Loads the model when the first job comes and answers jobs on the lane's thread."""

    def __init__(self, model: str, device: str, send: Send) -> None:
        self._name, self._device, self._send = model, device, send
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
            self._model = model = load_model(self._name, device=self._device)
            self._send({"method": "loaded", "params": _facts(model)})
        return self._model

    def _publish(self, job: Job, value: t.ProgressValue) -> None:
        params = {"token": job.number, "value": _converter.unstructure(value)}
        self._send({"method": "$/progress", "params": params})


Publish = Callable[[t.ProgressValue], None]


def _compute(model: HuggingFaceModel, job: Job, publish: Publish) -> t.AttributionComputeResult:
    from am_inseq.attribute import Request, attribute

    params = structure(_converter, job.params, t.AttributionComputeParams)
    request = Request(
        prompt=params.prompt,
        target=params.target,
        contrast_target=params.contrast_target,
        method=params.method,
        score=params.score,
        options=params.options,
        step_scores=params.step_scores,
        max_new_tokens=params.max_new_tokens,
    )
    attribution = attribute(model, request, _listener(job, params.prompt, publish))
    return to_result(attribution, job.encoding)


def _tokens(model: HuggingFaceModel, job: Job, _publish: Publish) -> t.TextTokensResult:
    from am_inseq.attribute import tokenize

    params = structure(_converter, job.params, t.TextTokensParams)
    tokens = tokenize(model, params.text)
    return t.TextTokensResult(tokens=to_tokens(tokens, params.text, "", job.encoding))


def _load(_model: HuggingFaceModel, _job: Job, _publish: Publish) -> t.EmptyResult:
    return t.EmptyResult()


_ANSWERS: Final[dict[str, Callable[[HuggingFaceModel, Job, Publish], Any]]] = {
    "attribution/compute": _compute,
    "text/tokens": _tokens,
    "model/load": _load,
}


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
