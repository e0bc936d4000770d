"""Contributions of activations at places inside the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.core.evaluation import SiteContributions, SiteFolded
from am_inseq.core.model import Site
from am_inseq.core.task import Task
from am_inseq.core.variants import BASELINE, INPUT, Factor, Rule
from am_inseq.engine.difference import read_both, rise
from am_inseq.engine.memory import Budget
from am_inseq.engine.passes import Pass, Taps, read_rows, send_back
from am_inseq.engine.state import Evaluator, wide
from am_inseq.errors import InputError

_HERE: Final = (1.0,)


def site_contributions(
    evaluator: Evaluator, asked: SiteContributions, budget: Budget
) -> SiteFolded:
    """See `SiteContributions`."""
    sites = evaluator.model.sites(asked.sites)
    for site in sites:
        _check(evaluator.task, site, asked)
    if asked.rule is Rule.DIFFERENCE:
        return _by_difference(evaluator, asked, sites, budget)
    if asked.alphas == _HERE and asked.factor is not Factor.DISPLACEMENT:
        return _at_the_input(evaluator, asked, sites, budget)
    return _along_the_way(evaluator, asked, sites, budget)


def _check(task: Task, site: Site, asked: SiteContributions) -> None:
    """Refuses what would be answered by zeros.

    Raises:
        InputError: the site's tokens receive no scores, or ids are what enters it.
    """
    if site.is_embedding and asked.is_input:
        raise InputError(
            f"what enters {site.name!r} are ids, not activations; leave attribute_to_layer_input "
            "out, or name another module"
        )
    if not task.free[_side(task, site)].any():
        raise InputError(
            f"{site.name!r} reads the {site.side}'s tokens, which are not scored here; ask for "
            "attribute_target, or name a module of the other side"
        )


def _side(task: Task, site: Site) -> slice:
    """The site's part of the token axis."""
    return slice(0, task.encoder) if site.side == "encoder" else slice(task.encoder, None)


class _Tables:
    """The answer as far as it has come; rows of the hidden axis are kept only where asked for."""

    def __init__(self, task: Task, sites: Sequence[Site], widths: Sequence[int]) -> None:
        self.task, self.sites = task, sites
        zero = task.embeds.new_zeros((), dtype=wide(task.embeds.dtype))
        shape = (len(task.targets), len(task.ids), len(sites))
        self.total, self.magnitude = zero.repeat(shape), zero.repeat(shape)
        self.difference = zero.repeat(shape[0], shape[2])
        keeps = task.keep_hidden and len(set(widths)) == 1
        self.hidden = zero.repeat(*shape, widths[0]) if keeps else None

    def put(
        self, site: int, targets: slice, start: int, part: Float[Tensor, "target token hidden"]
    ) -> None:
        """Contributions of some targets, from a token of the site's side on."""
        start += _side(self.task, self.sites[site]).start
        here = slice(start, start + part.shape[1])
        reachable = self.task.reachable[targets, here, None]
        part = torch.where(reachable, part, part.new_zeros(())).to(self.total.dtype)
        self.total[targets, here, site] = part.sum(-1)
        self.magnitude[targets, here, site] = part.norm(dim=-1)
        if self.hidden is not None:
            self.hidden[targets, here, site] = part

    def answer(self) -> SiteFolded:
        """All that was put."""
        names = tuple(site.name for site in self.sites)
        return SiteFolded(names, self.total, self.magnitude, self.hidden, self.difference)


def _at_the_input(
    evaluator: Evaluator, asked: SiteContributions, sites: tuple[Site, ...], budget: Budget
) -> SiteFolded:
    """One pass over the input serves all sites."""
    with torch.enable_grad(), evaluator.model.batched_backward():
        passed = read_rows(evaluator, [INPUT], Taps(sites, asked.is_input), budget)
        evaluator.compare(passed.logits, [INPUT])
        tables = _Tables(evaluator.task, sites, _widths(passed))
        factors = [passed.activations(index)[0] for index in range(len(sites))]

        def receive(site: int, targets: slice, start: int, part: Tensor) -> None:
            if asked.factor is Factor.EMBEDS:
                part = part * factors[site][start : start + part.shape[1]]
            tables.put(site, targets, start, part)

        weights = tables.total.new_tensor(asked.weights)
        send_back(evaluator, passed, sites, weights, budget, receive)
    evaluator.meter.advance(1)
    return tables.answer()


def _by_difference(
    evaluator: Evaluator, asked: SiteContributions, sites: tuple[Site, ...], budget: Budget
) -> SiteFolded:
    """One pass over the baseline and one over the input serve all sites."""
    with read_both(evaluator, Taps(sites, asked.is_input), budget) as (base, passed):
        tables = _Tables(evaluator.task, sites, _widths(passed))
        moves = [passed.activations(n)[0] - base.activations(n)[0] for n in range(len(sites))]

        def receive(site: int, targets: slice, start: int, part: Tensor) -> None:
            if asked.factor is Factor.DISPLACEMENT:
                part = part * moves[site][start : start + part.shape[1]]
            tables.put(site, targets, start, part)

        weights = tables.total.new_ones(1)
        send_back(evaluator, passed, sites, weights, budget, receive)
    tables.difference[:] = rise(evaluator, base, passed)[:, None]
    evaluator.meter.advance(1)
    return tables.answer()


def _along_the_way(
    evaluator: Evaluator, asked: SiteContributions, sites: tuple[Site, ...], budget: Budget
) -> SiteFolded:
    """One site after the other: its activations moved, the rest of the network running on."""
    task = evaluator.task
    with torch.no_grad(), evaluator.model.batched_backward():
        taps = Taps(sites, asked.is_input)
        here, base = (read_rows(evaluator, [one], taps, budget) for one in (INPUT, BASELINE))
    evaluator.compare(here.logits, [INPUT])
    tables = _Tables(task, sites, _widths(here))
    score = task.summed(torch.cat(here.scores, dim=1))[0]
    for index, site in enumerate(sites):
        end, start = here.activations(index)[0], base.activations(index)[0]
        gradient = _mean_gradient(evaluator, asked, site, (start, end), budget)
        if asked.factor is not Factor.ONE:
            gradient = gradient * (end - start if asked.factor is Factor.DISPLACEMENT else end)
        tables.put(index, slice(None), 0, gradient)
        with torch.no_grad(), evaluator.model.batched_backward():
            there = _read_moved(evaluator, asked, site, start[None], budget)
        tables.difference[:, index] = score - task.summed(torch.cat(there.scores, dim=1))[0]
    return tables.answer()


def _mean_gradient(
    evaluator: Evaluator,
    asked: SiteContributions,
    site: Site,
    ends: tuple[Float[Tensor, "token hidden"], Float[Tensor, "token hidden"]],
    budget: Budget,
) -> Float[Tensor, "target token hidden"]:
    """The weighted sum of the gradients at every alpha."""
    task, (start, end) = evaluator.task, ends
    dtype = wide(end.dtype)
    gradient = end.new_zeros(len(task.targets), *end.shape, dtype=dtype)
    by_vectors = max(1, budget.vectors // (len(task.targets) * len(task.ids)))
    rows = min(evaluator.rows(budget), by_vectors, asked.at_most or by_vectors)

    def receive(_site: int, targets: slice, first: int, part: Tensor) -> None:
        gradient[targets, first : first + part.shape[1]] += part

    for first in range(0, len(asked.alphas), rows):
        evaluator.checkpoint()
        chosen = slice(first, first + rows)
        alphas = torch.tensor(asked.alphas[chosen]).to(end)[:, None, None]
        weights = torch.tensor(asked.weights[chosen]).to(gradient)
        with torch.enable_grad(), evaluator.model.batched_backward():
            points = start + alphas * (end - start)
            passed = _read_moved(evaluator, asked, site, points, budget)
            send_back(evaluator, passed, (site,), weights, budget, receive)
        evaluator.meter.advance(len(alphas))
    return gradient


def _read_moved(
    evaluator: Evaluator,
    asked: SiteContributions,
    site: Site,
    points: Float[Tensor, "row token hidden"],
    budget: Budget,
) -> Pass:
    """The input, with points in place of the site's activations."""
    taps = Taps((site,), asked.is_input, points)
    return read_rows(evaluator, [INPUT] * len(points), taps, budget)


def _widths(passed: Pass) -> list[int]:
    return [parts[0].shape[-1] for parts in passed.taken]
