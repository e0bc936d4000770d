"""Answers evaluations on a model: the only module that runs forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import (
    INPUT,
    AttentionMaps,
    Attentions,
    Contributions,
    Evaluation,
    Factor,
    Folded,
    Moved,
    Replaced,
    Scores,
    Variant,
)
from am_inseq.core.model import Inputs, Model, Piece, Readout
from am_inseq.core.specs import BoundScore, Outcome
from am_inseq.core.task import Contrast, Task
from am_inseq.engine.chain import Cuts, cut, pull_back
from am_inseq.engine.check import Guard
from am_inseq.engine.inputs import batches, decoder_length, embed_rows, id_rows, predicted_at
from am_inseq.engine.memory import ONE_ROW, Budget, shrinking

Chained: TypeAlias = tuple[list[Piece], Tensor | None, Tensor | None]


@dataclass(slots=True)
class Meter:
    """Counts the work done and tells a listener.

    Attributes:
        report: called with the variants done and expected in the whole run.
    """

    report: Callable[[int, int], None]
    forward_tokens: int = 0
    backward_tokens: int = 0
    done: int = 0
    expected: int = 1

    def expect(self, variants: int) -> None:
        """The run is about to begin; see `engine.run.count_variants`."""
        self.done, self.expected = 0, max(1, variants)
        self.report(0, self.expected)

    def advance(self, variants: int) -> None:
        """So many more are finished; work that is done again never counts as the last."""
        self.done = min(self.done + variants, self.expected - 1)
        self.report(self.done, self.expected)

    def finish(self) -> None:
        """All is done."""
        self.report(self.expected, self.expected)


def _silent(_done: int, _expected: int) -> None:
    return


@dataclass(slots=True)
class Evaluator:
    """Answers the evaluations of one task, or of one group of its targets, within a budget.

    Attributes:
        model: the model.
        task: what is attributed.
        guard: compares every pass through embeddings with the model's own.
        first: index of the task's first target in the guard's reference.
        budget: bounds on a device batch; the answer does not depend on it.
        checkpoint: called between device batches; raises to cancel.
        meter: counts the work.
    """

    model: Model
    task: Task
    guard: Guard | None
    first: int = 0
    budget: Budget = field(default_factory=Budget)
    checkpoint: Callable[[], None] = lambda: None
    meter: Meter = field(default_factory=lambda: Meter(_silent))

    def answer(self, evaluation: Evaluation) -> Any:
        """The answer to `evaluation`; see its class for the shape."""
        match evaluation:
            case Scores():
                return shrinking(lambda budget: self._scores(evaluation, budget), self.budget)
            case Contributions():
                return shrinking(lambda budget: self._folded(evaluation, budget), self.budget)
            case Attentions():
                return shrinking(lambda _budget: self._attentions(), ONE_ROW)

    def _rows(self, budget: Budget) -> int:
        task = self.task
        return budget.rows(int(task.targets[-1]), len(task.targets), self.model.vocabulary)

    @torch.no_grad()
    def _scores(self, asked: Scores, budget: Budget) -> Float[Tensor, "variant target"]:
        task = self.task
        answer = torch.zeros(
            len(asked.variants), len(task.targets), dtype=_wide(task.embeds.dtype)
        ).to(task.embeds.device)
        work = batches(task, asked.variants, self._rows(budget))
        for indices, variants in work:
            self.checkpoint()
            read = self._read(variants)
            answer[indices] = measure(task, task.score, read.logits).to(answer.dtype)
            self.meter.advance(len(variants))
        return answer

    def _read(self, variants: list[Variant]) -> Readout:
        """A forward over variants of one kind, through embeddings or from ids."""
        task = self.task
        if isinstance(variants[0], Moved):
            moved = cast("list[Moved]", variants)
            return self._read_embeds(embed_rows(task, moved), moved)
        inputs = id_rows(task, cast("list[Replaced]", variants))
        self.meter.forward_tokens += len(variants) * int(task.targets[-1])
        return self.model.forward(inputs, predicted_at(task))

    def _read_embeds(self, inputs: Inputs, moved: list[Moved]) -> Readout:
        task = self.task
        self.meter.forward_tokens += len(moved) * int(task.targets[-1])
        read = self.model.forward(inputs, predicted_at(task))
        self._compare(read.logits, moved)
        return read

    def _compare(self, logits: Float[Tensor, "row target vocab"], moved: list[Moved]) -> None:
        """Shows the guard every row that is the input itself."""
        if self.guard is not None:
            for row, variant in enumerate(moved):
                if variant.alpha == 1:
                    self.guard.compare(logits[row], self.task.target_ids, self.first)

    def _folded(self, asked: Contributions, budget: Budget) -> Folded:
        task = self.task
        gradient = self._weighted_gradient(asked, budget)  # (target, token, hidden)
        match asked.factor:
            case Factor.ONE:
                pass
            case Factor.EMBEDS:
                gradient = gradient * task.embeds.to(gradient.dtype)
            case Factor.DISPLACEMENT:
                gradient = gradient * (task.embeds - task.baseline).to(gradient.dtype)
        return Folded(
            total=gradient.sum(-1),
            magnitude=gradient.norm(dim=-1),
            hidden=gradient if task.keep_hidden else None,
        )

    def _weighted_gradient(
        self, asked: Contributions, budget: Budget
    ) -> Float[Tensor, "target token hidden"]:
        task = self.task
        targets, tokens = len(task.targets), len(task.ids)
        gradient = torch.zeros(
            targets, tokens, task.embeds.shape[-1], dtype=_wide(task.embeds.dtype)
        ).to(task.embeds.device)
        rows = min(self._rows(budget), max(1, budget.vectors // (targets * tokens)))
        chained = targets > 1 and self.model.can_chain()
        if chained and INPUT not in asked.variants:
            self._check_chain(budget)
        for start in range(0, len(asked.variants), rows):
            self.checkpoint()
            chunk = list(asked.variants[start : start + rows])
            weights = torch.tensor(asked.weights[start : start + rows]).to(gradient)
            if chained:
                self._add_chained(gradient, chunk, weights, budget)
            else:
                self._add_gradients(gradient, chunk, weights, budget)
            self.meter.advance(len(chunk))
        return gradient.masked_fill_(~task.reachable[..., None], 0.0)

    def _add_gradients(
        self,
        gradient: Float[Tensor, "target token hidden"],
        moved: list[Moved],
        weights: Float[Tensor, " row"],
        budget: Budget,
    ) -> None:
        """Adds the weighted gradients of one device batch: one forward, many vectors back."""
        task = self.task
        inputs = embed_rows(task, moved)
        sides = _leaves(task, inputs)
        length = decoder_length(task) + task.encoder
        vectors = max(1, min(len(task.targets), budget.vectors // (len(moved) * length)))
        with torch.enable_grad(), self.model.batched_backward():
            read = self._read_embeds(inputs, moved)
            scores = measure(task, task.score, read.logits)
            pull = torch.autograd.grad((scores * weights[:, None]).sum(), read.leaf)[0]
            for start in range(0, len(task.targets), vectors):
                self.checkpoint()
                chosen = slice(start, min(start + vectors, len(task.targets)))
                back = _back(read.hidden[:, chosen], pull[:, chosen], list(sides.values()))
                for place, part in zip(sides, back, strict=True):
                    gradient[chosen, place[0] : place[1]] += part
                self.meter.backward_tokens += len(moved) * length * (chosen.stop - chosen.start)

    def _chain(self, inputs: Inputs, moved: list[Moved], budget: Budget) -> tuple[Cuts, Chained]:
        """The rows read piece by piece; the guard sees those that are the input itself."""
        task, rows = self.task, len(moved)
        at = predicted_at(task)
        longest = max(budget.piece, budget.vectors // (len(at) * rows))
        cuts = cut(at, budget.piece, longest)
        places = [at[a:b] - start for (a, b), start in zip(cuts.targets, cuts.starts, strict=True)]
        self.meter.forward_tokens += rows * int(task.targets[-1])
        pieces, leaf, states = self.model.chain(inputs, cuts.ends, places)
        self._compare(torch.cat([piece.read.logits for piece in pieces], dim=1), moved)
        return cuts, (pieces, leaf, states)

    @torch.no_grad()
    def _check_chain(self, budget: Budget) -> None:
        """Shows the guard the input itself, for paths that do not pass through it."""
        with self.model.batched_backward():
            self._chain(embed_rows(self.task, [INPUT]), [INPUT], budget)

    def _add_chained(
        self,
        gradient: Float[Tensor, "target token hidden"],
        moved: list[Moved],
        weights: Float[Tensor, " row"],
        budget: Budget,
    ) -> None:
        """The same as `_add_gradients`, piece by piece: nothing after a target is gone through."""
        task, rows = self.task, len(moved)
        inputs = embed_rows(task, moved)
        if inputs.encoder is not None:
            inputs.encoder.requires_grad_()
        targets = len(task.targets)
        with torch.enable_grad(), self.model.batched_backward():
            cuts, (pieces, leaf, states) = self._chain(inputs, moved, budget)
            pulls = [
                self._pull(piece, slice(*chosen), weights) if chosen[0] < chosen[1] else None
                for piece, chosen in zip(pieces, cuts.targets, strict=True)
            ]
            back, to_states = pull_back(pieces, pulls, leaf)
            for start, end, part in zip(cuts.starts, cuts.ends, back, strict=True):
                first = targets - len(part)
                gradient[first:, task.encoder + start : task.encoder + end] += part
                self.meter.backward_tokens += rows * len(part) * (end - start)
            if inputs.encoder is not None and states is not None and to_states is not None:
                many = torch.autograd.grad(
                    [states], [inputs.encoder], [to_states], is_grads_batched=True
                )[0]
                gradient[:, : task.encoder] += many.sum(1)
                self.meter.backward_tokens += rows * targets * task.encoder

    def _pull(
        self, piece: Piece, chosen: slice, weights: Float[Tensor, " row"]
    ) -> Float[Tensor, "row target hidden"]:
        """D (weighted score) / d hidden of the targets that a piece predicts."""
        some = self.task.among(chosen)
        scores = measure(some, some.score, piece.read.logits)
        return torch.autograd.grad((scores * weights[:, None]).sum(), piece.read.leaf)[0]

    @torch.no_grad()
    def _attentions(self) -> AttentionMaps:
        task = self.task
        self.checkpoint()
        inputs = id_rows(task, [Replaced()])
        at = predicted_at(task)
        raw, read = self.model.attention(inputs, at)
        self.meter.forward_tokens += int(task.targets[-1])
        if self.guard is not None:
            self.guard.offer(read.logits[0])  # made from ids: its own guard
        parts = [] if raw.cross is None else [raw.cross[:, :, at]]
        parts.append(raw.decoder[:, :, at])
        rows = torch.cat(parts, dim=-1).permute(2, 3, 0, 1)  # (target, token, layer, head)
        full = rows.new_zeros(len(at), len(task.ids), *rows.shape[2:])
        full[:, : rows.shape[1]] = rows
        full = full.float().masked_fill(_unread(task)[..., None, None], 0.0)
        encoder = None if raw.encoder is None else raw.encoder.permute(2, 3, 0, 1).float()
        self.meter.advance(1)
        return AttentionMaps(full, encoder)


def _unread(task: Task) -> Tensor:
    places = torch.arange(len(task.ids), device=task.ids.device)
    return places[None] >= task.targets[:, None]


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The type to accumulate in: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def _leaves(task: Task, inputs: Inputs) -> dict[tuple[int, int], Tensor]:
    """The parts of the input that gradients are taken to, by their places on the token axis."""
    end = int(task.targets[-1])
    sides = {(task.encoder, end): inputs.decoder}
    if inputs.encoder is not None:
        sides = {(0, task.encoder): inputs.encoder, **sides}
    free = {p: x for p, x in sides.items() if bool(task.free[p[0] : p[1]].any())}
    for leaf in free.values():
        leaf.requires_grad_()
    return free


def _back(
    hidden: Float[Tensor, "row target hidden"],
    pull: Float[Tensor, "row target hidden"],
    leaves: list[Tensor],
) -> list[Float[Tensor, "target token hidden"]]:
    """Sends each target's vectors back through one graph; summed over rows."""
    targets = hidden.shape[1]
    if targets == 1:
        alone = torch.autograd.grad(hidden, leaves, pull, retain_graph=True)
        return [part.sum(0)[None] for part in alone]
    vectors = torch.diag_embed(pull.permute(0, 2, 1)).permute(3, 0, 2, 1)
    # (target, row, target, hidden): vector t is zero but at target t
    many = torch.autograd.grad(hidden, leaves, vectors, retain_graph=True, is_grads_batched=True)
    return [part.sum(1) for part in many]


def measure(
    task: Task, score: BoundScore, logits: Float[Tensor, "row target vocab"]
) -> Float[Tensor, "row target"]:
    """(row, target) the score of every target in every row."""
    contrast = task.contrast or Contrast(task.target_ids)
    return score(
        Outcome(
            logits,
            task.target_ids,
            None if task.contrast is None else contrast.ids,
            contrast.logits,
        )
    )
