"""The one verb of the library: builds the task, runs the method, returns the attribution."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, Block, Diagnostics, Provenance
from am_inseq.core.names import VERSION
from am_inseq.core.specs import Blocks
from am_inseq.core.task import Contrast, Task
from am_inseq.core.tokens import Token
from am_inseq.engine.check import Guard
from am_inseq.engine.cost import Cost, count_tokens
from am_inseq.engine.evaluate import Evaluator, Meter, measure
from am_inseq.engine.reference import read_logits
from am_inseq.engine.run import count_variants, run
from am_inseq.errors import TargetError
from am_inseq.models.generate import generate
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import (
    TokenSequence,
    baseline_ids,
    compose,
    read_prompt,
    room_for_continuation,
    target_ids,
)
from am_inseq.models.text import continuation, encode
from am_inseq.request import SILENT, Listener, Plan, Request, plan

__all__ = ["SILENT", "Cost", "Listener", "Request", "attribute", "estimate", "tokenize"]


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
        sequence, warnings = _sequence(model, request, listener)
        attribution = _Run(model, request, chosen, sequence, listener).finish()
    diagnostics = replace(
        attribution.diagnostics,
        seconds=time.perf_counter() - started,
        warnings=(*warnings, *attribution.diagnostics.warnings),
    )
    return replace(attribution, diagnostics=diagnostics)


def estimate(model: HuggingFaceModel, request: Request) -> Cost:
    """What `attribute` will cost, generation left out.

    A continuation still to be generated is taken to be `max_new_tokens` long. Runs one forward over
    the sequence, to measure the speed.

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
    read = read_prompt(model, request.prompt)
    if request.target_ids is None and request.target is None:
        room = room_for_continuation(model, read)
        most = request.max_new_tokens if room is None else min(request.max_new_tokens, room)
        request = replace(request, target_ids=(read[-1].id,) * most)
    sequence, _ = _sequence(model, request, SILENT)
    task = _task(model, request, chosen, sequence, _explained(sequence, request))
    meter = Meter(lambda _done, _expected: None)
    read_logits(model, task, request.budget, meter)  # the first pass of a process is slow
    started = time.perf_counter()
    read_logits(model, task, request.budget, meter)
    rate = len(task.ids) / (time.perf_counter() - started)
    size = len(task.targets)
    if chosen.method.needs_gradients:
        size = request.budget.for_gradients(*task.embeds.shape)
    forward, backward = len(task.ids), 0
    for start in range(0, len(task.targets), size):
        part = task.group(slice(start, start + size))
        more = count_tokens(chosen.method.run(part, **chosen.options), part)
        forward, backward = forward + more[0], backward + more[1]
    return Cost(forward, backward, (forward + backward) / rate)


def _sequence(
    model: HuggingFaceModel, request: Request, listener: Listener
) -> tuple[TokenSequence, tuple[str, ...]]:
    """The tokens to attribute: given, or generated while the listener hears of them."""
    read = read_prompt(model, request.prompt)
    listener.on_prompt(read)
    warnings: tuple[str, ...] = ()
    if request.target_ids is not None:
        follow = list(request.target_ids)
    elif request.target is not None:
        follow, warnings = target_ids(model, request.prompt, read, request.target)
    else:
        room = room_for_continuation(model, read)
        most = request.max_new_tokens if room is None else min(request.max_new_tokens, room)
        if most < request.max_new_tokens:
            warnings = (f"only {most} tokens fit behind this prompt in the model's context",)
        follow = _generate(model, request, read, most, listener)
    sequence = compose(model, request.prompt, read, follow)
    listener.on_continuation(sequence.continuation, is_final=True)
    return sequence, warnings


def _generate(
    model: HuggingFaceModel,
    request: Request,
    read: tuple[Token, ...],
    most: int,
    listener: Listener,
) -> list[int]:
    prompt = [token.id for token in read]
    before = [] if model.has_encoder else prompt

    def on_ids(ids: list[int]) -> None:
        listener.checkpoint()
        listener.on_progress("generating", len(ids), most)
        text = continuation(model.tokenizer, before, ids)[0]
        listener.on_continuation(text.rstrip("\ufffd"), is_final=False)

    return generate(model, prompt, max_new_tokens=most, options=request.generation, on_ids=on_ids)


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
        contrasted = _contrast(model, request, sequence)
        partners = _partners(sequence, contrasted, request) if contrasted else None
        self.positions = _explained(sequence, request, partners)
        self.meter = Meter(self._report)
        task = _task(model, request, chosen, sequence, self.positions)
        self.other: Task | None = None
        if contrasted is not None and partners is not None:
            paired = [partners[position] for position in self.positions]
            self.other = _task(model, request, chosen, contrasted, paired)
        contrast = None if self.other is None else Contrast(self.other.target_ids)
        self.task = replace(task, contrast=contrast)
        self.guard = Guard(model.name, model.number_type, task.target_ids, lambda: self._read(task))

    def _read(self, task: Task) -> Tensor:
        return read_logits(self.model, task, self.request.budget, self.meter)

    def _step_scores(self) -> dict[str, tuple[float, ...]]:
        """Every recorded score; contrastive ones with the contrast sequence really run."""
        task, contrast = self.task, self.task.contrast
        needed = any(score.spec.needs_contrast for score in self.plan.step_scores)
        if needed and self.other is not None and contrast is not None:
            apart = Contrast(contrast.ids, self._read(self.other))
            task = replace(task, contrast=apart)
        return {
            score.spec.name: tuple(measure(task, score, self.guard.logits[None])[0].tolist())
            for score in self.plan.step_scores
        }

    def finish(self) -> Attribution:
        """The whole attribution; partial ones go to the listener on the way."""
        spec, task = self.plan.method, self.task
        targets = len(task.targets)
        size = targets
        if spec.needs_gradients:
            size = self.request.budget.for_gradients(*task.embeds.shape)
            size = min(size, self.listener.block_targets or size)
        starts = range(0, targets, size)
        ends = [min(start + size, targets) for start in starts]
        parts = [task]
        if spec.needs_gradients:
            parts = [task.group(slice(*some)) for some in zip(starts, ends, strict=True)]
        methods = [partial(spec.run, part, **self.plan.options) for part in parts]
        counts = (count_variants(m(), part) for m, part in zip(methods, parts, strict=True))
        self.meter.expect(sum(counts))
        finished: list[Blocks] = []
        recorded: dict[str, tuple[float, ...]] = {}
        for part, end, steps in zip(parts, ends, methods, strict=True):
            evaluator = Evaluator(
                self.model,
                part,
                self.guard,
                end - len(part.targets),
                self.request.budget,
                self.listener.checkpoint,
                self.meter,
            )
            finished.append(run(steps(), evaluator.answer))
            recorded = recorded or self._step_scores()
            if end < targets:
                self.listener.on_block(self._attribution(finished, end, recorded))
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
        blocks = _stitch(finished, len(sequence.tokens))
        residual = blocks.pop("residual", None)
        warnings = list(self.guard.warnings)
        unit = spec.unit.value if spec.unit else self.plan.score.unit.value
        return Attribution(
            prompt=sequence.prompt,
            continuation=sequence.continuation,
            tokens=sequence.tokens,
            targets=self.positions[:targets],
            blocks=blocks,
            primary=spec.primary,
            method=spec.name,
            options=self.plan.options,
            score=self.plan.score.spec.name,
            unit=unit,
            is_signed=spec.is_signed,
            probabilities=tuple(self.guard.log_probabilities[:targets].exp().tolist()),
            step_scores={name: v[:targets] for name, v in recorded.items()},
            provenance=Provenance(
                self.model.name,
                self.model.device,
                self.model.dtype,
                self.model.is_demo,
                VERSION,
            ),
            diagnostics=Diagnostics(
                probability_difference=self.guard.difference,
                residual=None if residual is None else tuple(residual.values.tolist()),
                warnings=(*warnings, *_residual_warnings(residual, blocks, unit)),
                forward_tokens=self.meter.forward_tokens,
                backward_tokens=self.meter.backward_tokens,
            ),
        )


def _residual_warnings(residual: Block | None, blocks: Blocks, unit: str) -> tuple[str, ...]:
    if residual is None:
        return ()
    difference = (blocks["total"].values.sum(-1) + residual.values).abs()
    bad = residual.values.abs() > torch.maximum(0.05 * difference, torch.tensor(0.01))
    if not bool(bad.any()):
        return ()
    worst = float(residual.values.abs().max())
    missed = f"completeness is missed by up to {worst:.2g} {unit}"
    return (f"{missed} in {int(bad.sum())} of {len(bad)} targets; raise n_steps",)


def _explained(
    sequence: TokenSequence, request: Request, able: Container[int] | None = None
) -> tuple[int, ...]:
    """Positions on the token axis of the targets that were asked for, and are `able`."""
    chosen = sequence.targets if request.explain is None else sequence.targets[request.explain]
    length = len(sequence.tokens) - sequence.encoder
    start, end, _ = slice(*request.positions).indices(length)
    within = (p for p in sorted(chosen) if start <= p - sequence.encoder < end)
    positions = tuple(p for p in within if able is None or p in able)
    if not positions:
        raise TargetError(
            f"no target is left: the continuation has {len(sequence.targets)} tokens and the "
            "chosen range holds none of them"
        )
    return positions


def _task(
    model: HuggingFaceModel,
    request: Request,
    chosen: Plan,
    sequence: TokenSequence,
    positions: Sequence[int],
) -> Task:
    device = model.network.device
    ids = torch.tensor(sequence.ids, device=device)
    baseline = torch.tensor(
        baseline_ids(model, sequence, include_eos=request.include_eos_baseline), device=device
    )
    free = torch.ones(len(ids), dtype=torch.bool, device=device)
    if sequence.encoder and not request.attribute_target:
        free[sequence.encoder :] = False
    baseline = torch.where(free, baseline, ids)
    targets = torch.tensor(positions, device=device)

    def embed(some: Tensor) -> Tensor:
        cut = sequence.encoder
        decoder = model.embed(some[cut:], "decoder")
        return torch.cat([model.embed(some[:cut], "encoder"), decoder]) if cut else decoder

    return Task(
        ids=ids,
        encoder=sequence.encoder,
        targets=targets,
        target_ids=ids[targets],
        free=free,
        baseline_ids=baseline,
        embeds=embed(ids),
        baseline=embed(baseline),
        score=chosen.score,
        keep_hidden=request.keep_hidden,
    )


def _contrast(
    model: HuggingFaceModel, request: Request, sequence: TokenSequence
) -> TokenSequence | None:
    """The sequence that the targets are contrasted with, if there is one."""
    if request.contrast_target is None:
        return None
    read = sequence.tokens[: sequence.encoder or sequence.targets[0]]
    follow, _ = target_ids(model, request.prompt, read, request.contrast_target)
    return compose(model, request.prompt, read, follow)


def _partners(sequence: TokenSequence, other: TokenSequence, request: Request) -> dict[int, int]:
    """Each target's position to that of the contrast token it is paired with."""
    if request.contrast_alignment == "start":
        return dict(zip(sequence.targets, other.targets, strict=False))
    shift = len(other.tokens) - len(sequence.tokens)
    return {
        p: p + shift if p + shift in other.targets else other.targets[-1] for p in sequence.targets
    }


def _stitch(finished: Sequence[Blocks], tokens: int) -> Blocks:
    """Blocks of groups of targets as blocks of all of them, on the CPU in float32."""
    stitched: Blocks = {}
    for name in finished[0]:
        axes = finished[0][name].axes
        parts = [_widen(blocks[name], tokens) for blocks in finished]
        values = torch.cat(parts) if axes[0] == "target" else parts[0]
        wide = values.dtype if values.dtype == torch.float64 else torch.float32
        stitched[name] = Block(values.detach().to("cpu", wide), axes)
    return stitched


def _widen(block: Block, tokens: int) -> Tensor:
    """The block with zeros for the tokens that its group did not read."""
    if "token" not in block.axes:
        return block.values
    axis = block.axes.index("token")
    shape = list(block.values.shape)
    missing = tokens - shape[axis]
    if not missing:
        return block.values
    shape[axis] = missing
    return torch.cat([block.values, block.values.new_zeros(shape)], dim=axis)
