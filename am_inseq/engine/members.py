"""Spans of models whose tokens read those that follow: each token is read from its own prefix.

Such a model has no pass that serves several tokens. Every evaluation about a span is answered for
each of its tokens alone, on the text before it, and the answers are added up as one pass would add
them: scores and gradients are summed, and only then reduced; maps are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from am_inseq.core.evaluation import (
    AttentionMaps,
    Attentions,
    Contributions,
    Evaluation,
    Folded,
    Run,
    Scores,
    SiteContributions,
    SiteFolded,
    ValueZeroing,
    ZeroedMaps,
)
from am_inseq.core.model import Model
from am_inseq.core.task import Task
from am_inseq.core.variants import Moved, Placed, Replaced, Variant
from am_inseq.engine.programs import run_summed
from am_inseq.engine.state import Evaluator

One: TypeAlias = Callable[[Evaluator, Evaluation], Any]
_V = TypeVar("_V", bound=Variant)


def read_apart(model: Model, task: Task) -> tuple[Task, ...]:
    """What is read in passes of its own: the task, or each of its members on the text before it.

    Args:
        model: says whether one pass serves all members.
        task: what is attributed.
    """
    if model.capabilities().causal:
        return (task,)
    alone = task.apart()
    return tuple(alone.group(slice(index, index + 1)) for index in range(len(task.members)))


def answer_apart(  # noqa: PLR0911 - one a case
    evaluator: Evaluator, parts: Sequence[Task], asked: Evaluation, one: One
) -> Any:
    """The answer about one span; see `core.evaluation` for its shape.

    Args:
        evaluator: of the span.
        parts: its members, each a task of its own, as `read_apart` gives them.
        asked: what is asked of the span.
        one: answers what is asked of a member.
    """
    members = [
        replace(evaluator, task=part, first=evaluator.first + index)
        for index, part in enumerate(parts)
    ]
    match asked:
        case Scores():
            return sum(_scores(member, asked, one) for member in members)
        case Contributions():
            return _contributions(evaluator.task, members, asked, one)
        case SiteContributions():
            return _sites(evaluator.task, members, asked, one)
        case Attentions():
            maps: list[AttentionMaps] = [one(member, asked) for member in members]
            return AttentionMaps(_mean(evaluator.task, [m.rows for m in maps]), maps[-1].encoder)
        case ValueZeroing():
            return _zeroed(evaluator.task, members, asked, one)
        case Run():
            return run_summed(members, asked)
        case _:
            return one(evaluator, asked)


def _cut(variant: _V, end: int) -> _V:
    """The variant as far as a text that ends there holds it."""
    match variant:
        case Placed():
            return replace(variant, points=variant.points[:end])
        case Moved():
            if variant.tokens is None:
                return variant
            return replace(variant, tokens=tuple(i for i in variant.tokens if i < end))
        case Replaced():
            kept = [place for place, token in enumerate(variant.tokens) if token < end]
            ids = None if variant.ids is None else tuple(variant.ids[place] for place in kept)
            return replace(variant, tokens=tuple(variant.tokens[place] for place in kept), ids=ids)


def _scores(member: Evaluator, asked: Scores, one: One) -> Tensor:
    """Of a member; variants that differ only after it are one."""
    variants = [_cut(variant, len(member.task.ids)) for variant in asked.variants]
    places = {variant: place for place, variant in enumerate(dict.fromkeys(variants))}
    fewer = replace(asked, variants=tuple(places), targets=asked.targets[: len(places)])
    answer: Tensor = one(member, fewer)
    chosen = [places[variant] for variant in variants]
    return answer[:, chosen] if asked.of else answer[chosen]


def _contributions(
    task: Task, members: Sequence[Evaluator], asked: Contributions, one: One
) -> Folded:
    """Gradients summed over the members, and every variant's totals, before they are squared."""
    every: list[Folded] = [
        one(_with_hidden(member), _cut_contributions(task, member.task, asked))
        for member in members
    ]
    hidden = _sum([part.hidden for part in every if part.hidden is not None])
    each = [part.each[:, 0] for part in every if part.each is not None]
    totals = _sum(each)[:, None] if each else None
    differences = [part.difference for part in every if part.difference is not None]
    return Folded(
        hidden.sum(-1),
        hidden.norm(dim=-1),
        hidden if task.keep_hidden else None,
        totals.square().sum(0) if totals is not None and asked.spread else None,
        torch.stack(differences).sum(0) if differences else None,
        totals if asked.each else None,
    )


def _cut_contributions(task: Task, part: Task, asked: Contributions) -> Contributions:
    """The question about a member, whose task is a part of the span's."""
    end, factor = len(part.ids), asked.factor
    if isinstance(factor, tuple):
        factor = tuple(tensor.expand(task.embeds.shape)[:end] for tensor in factor)
    return replace(
        asked,
        variants=tuple(_cut(variant, end) for variant in asked.variants),
        factor=factor,
        spread=False,
        each=asked.spread or asked.each,
    )


def _sites(
    task: Task, members: Sequence[Evaluator], asked: SiteContributions, one: One
) -> SiteFolded:
    """Gradients summed over the members; sites of several widths one after the other."""
    each: list[SiteFolded] = [one(_with_hidden(member), asked) for member in members]
    parts = [folded.hidden for folded in each if folded.hidden is not None]
    if not parts:
        alone = [
            _sites(task, members, replace(asked, sites=(name,)), one) for name in each[0].names
        ]
        return SiteFolded(
            each[0].names,
            torch.cat([site.total for site in alone], dim=-1),
            torch.cat([site.magnitude for site in alone], dim=-1),
            None,
            torch.cat([site.difference for site in alone], dim=-1),
        )
    hidden = _sum(parts)
    return SiteFolded(
        each[0].names,
        hidden.sum(-1),
        hidden.norm(dim=-1),
        hidden if task.keep_hidden else None,
        torch.stack([folded.difference for folded in each]).sum(0),
    )


def _zeroed(task: Task, members: Sequence[Evaluator], asked: ValueZeroing, one: One) -> ZeroedMaps:
    """Distances averaged over the members; those inside the encoder are the same for all."""
    later = replace(asked, kinds=tuple(kind for kind in asked.kinds if kind != "encoder"))
    maps: list[ZeroedMaps] = [
        one(member, asked if index == 0 else later) for index, member in enumerate(members)
    ]
    return ZeroedMaps(_mean(task, [m.rows for m in maps]), maps[0].encoder)


def _with_hidden(member: Evaluator) -> Evaluator:
    return replace(member, task=replace(member.task, keep_hidden=True))


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """(_, token, …), as long as the last and longest; what the others do not read adds nothing."""
    whole = parts[-1].clone()
    for part in parts[:-1]:
        whole[:, : part.shape[1]] += part
    return whole


def _mean(task: Task, rows: Sequence[Tensor]) -> Tensor:
    return _sum(rows) / len(task.members)
