"""One pass over rows with places in the network tapped, and vectors sent back to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.model import Inputs, Piece, Site
from am_inseq.core.task import Task
from am_inseq.core.variants import Variant
from am_inseq.engine.chain import Cuts, Inner, batched_gradients, cut, pull_back
from am_inseq.engine.inputs import decoder_length, embed_rows, predicted_at
from am_inseq.engine.memory import Budget
from am_inseq.engine.state import Evaluator, measure_members, vectors, wide
from am_inseq.errors import MissingSiteError

Receive: TypeAlias = Callable[[int, slice, int, Tensor], None]


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """What is tapped in a pass.

    Attributes:
        sites: where.
        is_input: what enters the modules rather than what leaves them.
        points: (row, token, hidden) what stands in for the activations of the one site there is, on
            that site's side of the token axis; None: they stay as they are.
    """

    sites: tuple[Site, ...]
    is_input: bool = False
    points: Float[Tensor, "row token hidden"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """What a pass left behind.

    Attributes:
        cuts: where the decoder's tokens were cut; one piece where the model does not chain.
        pieces: what was read.
        leaf: the encoder's output as the pieces read it, where there are several.
        states: the same in the encoder's graph.
        scores: for each piece (row, member) the scores of its members.
        taken: for each site its activations: one of an encoder's, one for each piece of a
            decoder's.
    """

    cuts: Cuts
    pieces: list[Piece]
    leaf: Tensor | None
    states: Tensor | None
    scores: list[Float[Tensor, "row _"]]
    taken: list[list[Tensor]]

    @property
    def logits(self) -> Float[Tensor, "row member vocab"]:
        """(row, member, vocab) for the guard."""
        return torch.cat([piece.read.logits for piece in self.pieces], dim=1)

    def activations(self, site: int) -> Float[Tensor, "row token hidden"]:
        """What was tapped at a site, along the tokens of its side; in no graph."""
        return torch.cat([part.detach() for part in self.taken[site]], dim=1)


def read_rows(
    evaluator: Evaluator, variants: Sequence[Variant], taps: Taps, budget: Budget
) -> Pass:
    """Rows read, piece by piece where the model can, and the scores measured on them.

    To be called where the graph that is wanted is recorded: in the model's `batched_backward` or
    `differences`.

    Raises:
        MissingSiteError: a site's module does not run once for every piece, or does not give one
            vector for each token.
    """
    task, model = evaluator.task, evaluator.model
    inputs = _given(task, variants, taps)
    taken: list[list[Tensor]] = [[] for _ in taps.sites]
    chained = len(task.targets) > 1 and model.can_chain()
    with model.tapped(taps.sites, _tap(taps, taken), is_input=taps.is_input):
        read = _read_chained if chained else _read_whole
        cuts, pieces, leaf, states = read(evaluator, inputs, len(variants), budget)
    scores = [
        measure_members(task, task.score, piece.read.logits, slice(*members))
        for piece, members in zip(pieces, cuts.members, strict=True)
        if members[0] < members[1]
    ]
    for index, site in enumerate(taps.sites):
        if site.is_embedding:
            whole = [] if inputs.encoder is None else [inputs.encoder]
            taken[index] = whole if site.side == "encoder" else [piece.leaf for piece in pieces]
        _check_shapes(task, site, taken[index], cuts)
    return Pass(cuts, pieces, leaf, states, scores, taken)


def _given(task: Task, variants: Sequence[Variant], taps: Taps) -> Inputs:
    """The rows, all with gradients: what has none is taken for a constant by `differences`."""
    inputs = embed_rows(task, variants)
    decoder, encoder = inputs.decoder, inputs.encoder
    if taps.points is not None and taps.sites[0].is_embedding:
        if taps.sites[0].side == "encoder":
            encoder = taps.points.to(decoder.dtype)
        else:
            decoder = taps.points.to(decoder.dtype)
    if torch.is_grad_enabled():
        decoder = decoder.detach().requires_grad_()
        encoder = None if encoder is None else encoder.detach().requires_grad_()
    return replace(inputs, decoder=decoder, encoder=encoder)


_Read: TypeAlias = tuple[Cuts, list[Piece], Tensor | None, Tensor | None]


def _read_whole(evaluator: Evaluator, inputs: Inputs, rows: int, budget: Budget) -> _Read:
    del budget
    task = evaluator.task
    evaluator.meter.forward_tokens += rows * int(task.targets[-1])
    read = evaluator.model.forward(inputs, predicted_at(task))
    cuts = Cuts((decoder_length(task),), ((0, len(task.members)),))
    return cuts, [Piece(inputs.decoder, read, (), (), (), ())], None, None


def _read_chained(evaluator: Evaluator, inputs: Inputs, rows: int, budget: Budget) -> _Read:
    task, at = evaluator.task, predicted_at(evaluator.task)
    evaluator.meter.forward_tokens += rows * int(task.targets[-1])
    cuts = cut(at, budget.piece, max(budget.piece, budget.vectors // (len(at) * rows)))
    places = [at[a:b] - start for (a, b), start in zip(cuts.members, cuts.starts, strict=True)]
    pieces, leaf, states = evaluator.model.chain(inputs, cuts.ends, places)
    return cuts, pieces, leaf, states


def _tap(taps: Taps, taken: list[list[Tensor]]) -> Callable[[int, Tensor], Tensor]:
    """Keeps what comes by, or puts in its place the points at its positions."""

    def tap(index: int, value: Tensor) -> Tensor:
        if taps.points is not None:
            start = sum(part.shape[1] for part in taken[index])
            value = taps.points[:, start : start + value.shape[1]].to(value.dtype)
        if torch.is_grad_enabled() and not value.requires_grad:
            value = value.detach().requires_grad_()  # a table of positions, for example
        value = value.view_as(value)  # a node of its own, past which nothing goes back
        taken[index].append(value)
        return value

    return tap


def _check_shapes(task: Task, site: Site, parts: list[Tensor], cuts: Cuts) -> None:
    """One vector for each token of the site's side, or a sentence."""
    wanted = [task.encoder]
    if site.side == "decoder":
        wanted = [end - start for start, end in zip(cuts.starts, cuts.ends, strict=True)]
    if not parts:
        raise MissingSiteError(f"module {site.name!r} does not run when this model reads a text")
    if len(parts) != len(wanted):
        raise MissingSiteError(
            f"module {site.name!r} runs {len(parts) / len(wanted):.2g} times when this model reads "
            "a text, so its activations are not one place; name a module that runs once"
        )
    for part, length in zip(parts, wanted, strict=True):
        if part.ndim != 3 or part.shape[1] != length:
            raise MissingSiteError(
                f"module {site.name!r} gives {list(part.shape)}, not one vector for each of the "
                f"{length} tokens of a row; name a block, an attention or a feed-forward module"
            )


def send_back(
    evaluator: Evaluator,
    passed: Pass,
    sites: Sequence[Site],
    weights: Float[Tensor, " row"],
    budget: Budget,
    receive: Receive,
) -> None:
    """Sends each target's vectors back to the sites.

    Args:
        evaluator: counts the work.
        passed: a pass with a graph.
        sites: those that were tapped in it.
        weights: one for each row.
        budget: bounds on one backward.
        receive: called with a site, a range of targets, the first token of its side, and the
            weighted gradients (target, position, hidden) from there on, summed over rows.
    """
    if len(passed.pieces) == 1 and passed.leaf is None:
        _back_whole(evaluator, passed, weights, budget, receive)
    else:
        _back_chained(evaluator, passed, sites, weights, receive)


def _pull(
    piece: Piece, scores: Float[Tensor, "row _"], weights: Float[Tensor, " row"]
) -> Float[Tensor, "row member hidden"]:
    weighted = (scores * weights[:, None]).sum()
    return torch.autograd.grad(weighted, piece.read.leaf)[0]


def _back_whole(
    evaluator: Evaluator,
    passed: Pass,
    weights: Float[Tensor, " row"],
    budget: Budget,
    receive: Receive,
) -> None:
    task, piece, rows = evaluator.task, passed.pieces[0], len(weights)
    pull = _pull(piece, passed.scores[0], weights)
    length = int(task.targets[-1])
    many = 1
    if evaluator.model.capabilities().batched_backward:
        many = max(1, min(len(task.targets), budget.vectors // (rows * length)))
    leaves = [part for parts in passed.taken for part in parts]
    for start in range(0, len(task.targets), many):
        evaluator.checkpoint()
        chosen = slice(start, min(start + many, len(task.targets)))
        kept = task.covered(chosen)
        sent = vectors(task, pull[:, kept], chosen, kept)
        back = _sent_back(piece.read.hidden[:, kept], sent, leaves)
        for index, part in enumerate(back):
            receive(index, chosen, 0, part)
        evaluator.meter.backward_tokens += rows * length * len(sent)


def _sent_back(
    hidden: Float[Tensor, "row member hidden"],
    sent: Float[Tensor, "target row member hidden"],
    leaves: list[Tensor],
) -> list[Float[Tensor, "target token width"]]:
    if len(sent) > 1:
        return [_over_rows(part) for part in batched_gradients([hidden], leaves, [sent])]
    alone = torch.autograd.grad(hidden, leaves, sent[0], retain_graph=True, materialize_grads=True)
    return [_over_rows(part[None]) for part in alone]


def _over_rows(
    part: Float[Tensor, "target row token hidden"],
) -> Float[Tensor, "target token hidden"]:
    return part.sum(1, dtype=wide(part.dtype))


def _back_chained(
    evaluator: Evaluator,
    passed: Pass,
    sites: Sequence[Site],
    weights: Float[Tensor, " row"],
    receive: Receive,
) -> None:
    task, targets = evaluator.task, len(evaluator.task.targets)
    inside = [index for index, site in enumerate(sites) if site.side == "decoder"]
    outside = [index for index, site in enumerate(sites) if site.side == "encoder"]
    own = iter(passed.scores)
    pulls: list[Tensor | None] = []
    for piece, (start, end) in zip(passed.pieces, passed.cuts.members, strict=True):
        if start == end:
            pulls.append(None)
            continue
        first = sum(last <= start for _, last in task.ranges)
        pull = _pull(piece, next(own), weights)
        pulls.append(vectors(task, pull, slice(first, None), slice(start, end)))

    def arrive(number: int, back: Sequence[Tensor]) -> None:
        evaluator.checkpoint()
        for index, part in zip(inside, back, strict=True):
            first = slice(targets - len(part), targets)
            receive(index, first, passed.cuts.starts[number], _over_rows(part))

    tensors = [[passed.taken[index][n] for index in inside] for n in range(len(passed.pieces))]
    _, to_states = pull_back(passed.pieces, pulls, passed.leaf, 0, Inner(tensors, arrive))
    length = sum(passed.cuts.ends) // len(passed.cuts.ends)
    evaluator.meter.backward_tokens += len(weights) * targets * length
    if outside and passed.states is not None and to_states is not None:
        leaves = [passed.taken[index][0] for index in outside]
        many = batched_gradients([passed.states], leaves, [to_states])
        for index, part in zip(outside, many, strict=True):
            receive(index, slice(0, targets), 0, _over_rows(part))
        evaluator.meter.backward_tokens += len(weights) * targets * task.encoder
