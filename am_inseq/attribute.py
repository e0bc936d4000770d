"""The one verb of the library: builds the task, runs the method, returns the attribution."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from torch import Tensor

from am_inseq.contrast import contrasted, partners
from am_inseq.core.attribution import Attribution, Diagnostics, Provenance
from am_inseq.core.names import VERSION
from am_inseq.core.specs import Blocks, MethodSpec
from am_inseq.core.task import Task
from am_inseq.core.tokens import Token
from am_inseq.engine.check import Guard
from am_inseq.engine.cost import Cost, count_tokens
from am_inseq.engine.evaluate import answer
from am_inseq.engine.members import read_apart
from am_inseq.engine.memory import ONE_ROW, Room, shrinking
from am_inseq.engine.reference import read_logits
from am_inseq.engine.run import count_variants, run
from am_inseq.engine.setting import Setting
from am_inseq.engine.state import Evaluator, Meter
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.packed import precision
from am_inseq.models.revision import versions
from am_inseq.models.sequence import TokenSequence, room_for_continuation
from am_inseq.models.text import encode
from am_inseq.ops.scores import merge_members
from am_inseq.prepare import (
    chosen_spans,
    explained,
    make_sequence,
    make_task,
    read,
    write,
)
from am_inseq.request import SILENT, Listener, Plan, Request, plan
from am_inseq.results import residual_warnings, stitch

__all__ = [
    "SILENT",
    "Cost",
    "Listener",
    "Request",
    "attribute",
    "attribute_each",
    "estimate",
    "tokenize",
]


_UNUSED: Final = (
    "nothing reads the contrast: neither the explained score nor a recorded one is contrastive; "
    "explain or record contrast_prob_diff, for example"
)


def tokenize(model: HuggingFaceModel, text: str) -> tuple[Token, ...]:
    """The tokens of `text` as the model reads a prompt, special tokens included."""
    return encode(model.tokenizer, text, side="encoder" if model.has_encoder else "decoder")


def attribute(
    model: HuggingFaceModel, request: Request, listener: Listener = SILENT
) -> Attribution:
    """How much each token of the prompt, and of the continuation so far, made each target.

    One teacher-forced pass serves all targets; the log-probabilities that are explained are
    compared with the model's own in every run (`Diagnostics.probability_difference`).

    Args:
        model: from `am_inseq.models.load.load_model`.
        request: what to attribute.
        listener: hears of progress, partial results, and may cancel.

    Returns:
        the attribution; its primary block is (target, token) in `unit`.

    Raises:
        InputError: the request cannot be met as it stands; the sentence names the fix.
        GuardError: the model's embeddings path gives other probabilities than its ids.
        WeightsError: the model's probabilities are not numbers.
        CancelledError: the listener stopped the run.
    """
    started = time.perf_counter()
    chosen = plan(request)
    with model.lock, model.watched(listener.checkpoint):
        sequence, warnings = make_sequence(model, request, listener)
        attribution = _Run(model, request, chosen, sequence, listener).finish()
    diagnostics = replace(
        attribution.diagnostics,
        seconds=time.perf_counter() - started,
        warnings=(*warnings, *attribution.diagnostics.warnings),
    )
    return replace(attribution, diagnostics=diagnostics)


def attribute_each(
    model: HuggingFaceModel, request: Request, listener: Listener = SILENT
) -> list[Attribution]:
    """The attribution of every continuation that the model returns.

    Several are generated with `num_return_sequences`; else there is one, as `attribute` gives it.
    """
    is_given = request.target is not None or request.target_ids is not None
    if is_given or (request.generation.get("num_return_sequences") or 1) == 1:
        return [attribute(model, request, listener)]
    plan(request)  # names are looked up before anything runs
    with model.lock, model.watched(listener.checkpoint):
        many, warnings = write(model, request, read(model, request), listener)
    found = [attribute(model, replace(request, target_ids=tuple(ids)), listener) for ids in many]
    return [
        replace(
            one,
            diagnostics=replace(one.diagnostics, warnings=(*warnings, *one.diagnostics.warnings)),
        )
        for one in found
    ]


def estimate(model: HuggingFaceModel, request: Request) -> Cost:
    """What `attribute` will cost, generation left out.

    A continuation still to be generated is taken to be `max_new_tokens` long. Runs two forwards
    over the sequence, to measure the speed. Passes that a step function of the user's own makes by
    asking for hidden states are left out.

    Args:
        model: the model.
        request: what would be attributed.

    Returns:
        tokens forward and backward, and seconds; backwards count as forwards do.

    Raises:
        InputError: the request cannot be met as it stands.
    """
    chosen = plan(request)
    with model.lock:
        return _estimate(model, request, chosen)


def _estimate(model: HuggingFaceModel, request: Request, chosen: Plan) -> Cost:
    if request.target_ids is None and request.target is None:
        prompt = read(model, request)
        room = room_for_continuation(model, prompt.tokens)
        most = request.max_new_tokens if room is None else min(request.max_new_tokens, room)
        request = replace(request, target_ids=(prompt.ids[-1],) * most)
    sequence, _ = make_sequence(model, request, SILENT)
    contrast = contrasted(model, request, sequence)
    spans = chosen_spans(sequence, request)
    positions = explained(sequence, request, None if contrast is None else contrast.pairs)
    task = make_task(model, request, chosen, sequence, positions, spans)
    meter = Meter(lambda _done, _expected: None)
    room = Room(request.budget)
    read_logits(model, task, room, meter)  # the first pass of a process is slow
    started, meter.forward_tokens = time.perf_counter(), 0
    read_logits(model, task, room, meter)
    rate = meter.forward_tokens / (time.perf_counter() - started)
    setting = Setting(model, task, room, meter, [])
    if contrast is not None:
        paired = [contrast.pairs[position] for position in positions]
        setting.other = make_task(model, request, chosen, contrast.sequence, paired)
    forward = meter.forward_tokens + setting.count_tokens(
        chosen.score, chosen.step_scores, is_run=request.contrast_force_inputs
    )
    backward = 0
    for part, _ in _parts(model, request, chosen.method, task):
        steps = chosen.method.run(part, **chosen.options)
        more = count_tokens(steps, part, read_apart(model, part))
        forward, backward = forward + more[0], backward + more[1]
    return Cost(forward, backward, (forward + backward) / rate)


def _parts(
    model: HuggingFaceModel,
    request: Request,
    method: MethodSpec,
    task: Task,
    most: int | None = None,
) -> list[tuple[Task, slice]]:
    """Groups of targets that the method is run on, and which targets they are.

    Args:
        model: the model.
        request: holds the budget.
        method: methods without gradients take all targets at once.
        task: all targets.
        most: at most so many targets in a group of a method with gradients.
    """
    targets = size = len(task.targets)
    if method.needs_gradients:
        size = request.budget.for_gradients(*task.embeds.shape)
        size = min(size, most or size)
    able = shrinking(lambda _budget: model.capabilities(), Room(ONE_ROW))
    if not able.causal:  # a group is cut after its target
        size = 1
    chosen = _alike(targets, size)
    if not method.needs_gradients and size >= targets:
        return [(task, slice(0, targets))]
    return [(task.group(some), some) for some in chosen]


def _alike(count: int, most: int) -> list[slice]:
    """So many things in as few groups as there can be, none much smaller than the others."""
    groups = -(-count // most)
    ends = [-(-count * (index + 1) // groups) for index in range(groups)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


class _Run:
    """One attribution under way: shared facts, then groups of targets, then the whole."""

    def __init__(
        self,
        model: HuggingFaceModel,
        request: Request,
        chosen: Plan,
        sequence: TokenSequence,
        listener: Listener,
    ) -> None:
        self.model, self.request, self.plan = model, request, chosen
        self.sequence, self.listener = sequence, listener
        contrast = contrasted(model, request, sequence)
        self.spans = chosen_spans(sequence, request)
        self.positions = explained(sequence, request, None if contrast is None else contrast.pairs)
        self.meter = Meter(self._report)
        self.notes: list[str] = []
        self.room = Room(request.budget)
        task = make_task(model, request, chosen, sequence, self.positions, self.spans)
        kind = precision(model.network)
        self.guard = Guard(
            model.name,
            kind,
            task.member_ids,
            lambda: self._read(task),
            lambda: model.capabilities().kernels_alike,
        )
        self.setting = Setting(model, task, self.room, self.meter, self.notes)
        self.partners: tuple[Token, ...] | None = None
        if contrast is not None:
            paired = [contrast.pairs[position] for position in self.positions]
            self.setting.other = make_task(model, request, chosen, contrast.sequence, paired)
            self.notes.extend(contrast.warnings)
            if chosen.is_contrastive:
                self.partners = partners(contrast, self.positions, task.ranges)
            else:
                self.notes.append(_UNUSED)
        self.task = self.setting.explained(chosen.score, is_run=request.contrast_force_inputs)

    def _read(self, task: Task) -> Tensor:
        return read_logits(self.model, task, self.room, self.meter)

    def _step_scores(self) -> dict[str, tuple[float, ...]]:
        """Every recorded score; contrastive ones with the contrast sequence really run."""
        logits = self.guard.logits[None]
        ranges = self.task.ranges
        return {
            one.spec.name: merge_members(
                one.spec, self.setting.record(one, logits).tolist(), ranges
            )
            for one in self.plan.step_scores
        }

    def finish(self) -> Attribution:
        """The whole attribution; partial ones go to the listener on the way."""
        spec, task = self.plan.method, self.task
        targets = len(task.targets)
        divided = _parts(self.model, self.request, spec, task, self.listener.block_targets)
        parts = [part for part, _ in divided]
        methods = [partial(spec.run, part, **self.plan.options) for part in parts]
        counts = [
            count_variants(steps(), part, read_apart(self.model, part))
            for steps, part in zip(methods, parts, strict=True)
        ]
        self.meter.expect(sum(counts))
        finished: list[Blocks] = []
        recorded: dict[str, tuple[float, ...]] = {}
        for index, ((part, chosen), steps) in enumerate(zip(divided, methods, strict=True)):
            self.meter.begin(sum(counts[:index]), counts[index])
            evaluator = Evaluator(
                self.model,
                part,
                self.guard,
                task.covered(chosen).start,
                self.room,
                self.listener.checkpoint,
                self.meter,
                self.notes,
            )
            finished.append(run(steps(), partial(answer, evaluator)))
            recorded = recorded or self._step_scores()
            if chosen.stop < targets:
                self.listener.on_block(self._attribution(finished, chosen.stop, recorded))
        self.meter.finish()
        whole = self._attribution(finished, targets, recorded)
        self.listener.on_block(whole)
        return whole

    def _report(self, done: int, expected: int) -> None:
        self.listener.on_progress("attributing", done, expected)

    def _attribution(
        self,
        finished: Sequence[Blocks],
        targets: int,
        recorded: Mapping[str, tuple[float, ...]],
    ) -> Attribution:
        spec, sequence = self.plan.method, self.sequence
        blocks = stitch(finished, len(sequence.tokens))
        residual, error = blocks.pop("residual", None), blocks.get("standard_error")
        warnings = (*self.model.capabilities().notes, *self.guard.warnings, *self.notes)
        unit = spec.unit.value if spec.unit else self.plan.score.unit.value
        return Attribution(
            prompt=sequence.prompt,
            continuation=sequence.continuation,
            tokens=sequence.tokens,
            targets=tuple(self.task.targets[:targets].tolist()),
            spans=None if self.spans is None else self.spans[:targets],
            contrast=None if self.partners is None else self.partners[:targets],
            blocks=blocks,
            primary=spec.primary,
            method=spec.name,
            options=self.plan.options,
            score=self.plan.score.spec.name,
            unit=unit,
            is_signed=spec.is_signed,
            probabilities=tuple(
                self.task.summed(self.guard.log_probabilities)[:targets].exp().tolist()
            ),
            step_scores={name: v[:targets] for name, v in recorded.items()},
            provenance=Provenance(
                self.model.name,
                self.model.device,
                self.model.dtype,
                self.model.is_demo,
                VERSION,
                self.model.revision,
                versions(),
                self.request.generation.get("seed"),
            ),
            diagnostics=Diagnostics(
                probability_difference=self.guard.difference,
                residual=None if residual is None else tuple(residual.values.tolist()),
                standard_error=None if error is None else tuple(error.values.amax(-1).tolist()),
                warnings=(*warnings, *residual_warnings(residual, blocks, unit, self.plan.options)),
                forward_tokens=self.meter.forward_tokens,
                backward_tokens=self.meter.backward_tokens,
            ),
        )
