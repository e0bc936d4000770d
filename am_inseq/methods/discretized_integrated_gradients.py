"""Discretized integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from am_inseq.core.asking import contributions, embed, nearest, scores
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps, Store
from am_inseq.core.parts import blocks_of, check_at_least
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.tokens import Side
from am_inseq.core.variants import BASELINE, INPUT, Placed
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.numerics.paths import STRATEGIES, best, costs, points

_ABREAST: Final = 64  # paths that are looked for at once
_MODES: Final = ("distance", "connectivity")


@method(
    "discretized_integrated_gradients",
    source="https://arxiv.org/abs/2108.13654",
    primary="total",
    cost="n_steps + 1 forwards, n_steps - 1 backwards a target, and a search for neighbours",
    properties=frozenset({"gradients", "signed", "complete"}),
)
def discretized_integrated_gradients(  # noqa: PLR0913 - inseq's options
    task: Task,
    *,
    n_steps: int = 50,
    method: str = "greedy",
    n_neighbors: int = 50,
    mode: str = "distance",
    n_jobs: int = -1,
    save_cache: bool = True,
    overwrite_cache: bool = False,
    cache_dir: str | None = None,
    internal_batch_size: int | None = None,
    multiply_by_inputs: bool = False,
    return_convergence_delta: bool = False,
) -> Steps[Blocks]:
    """Gradients summed along paths through real words, from the baseline to the input.

    Each token's path goes from neighbour to neighbour in the vocabulary, every coordinate in one
    direction only. Special tokens stay until the last step to the baseline. Costs `n_steps + 1`
    forwards, `n_steps - 1` backwards for each target, and one look through the vocabulary for every
    word on a path, kept for later runs.

    Args:
        task: what to attribute.
        n_steps: points on a path, its ends included; at least 2.
        method: the next word is the one nearest to its own monotone version ("greedy") or the one
            with the most monotone coordinates ("maxcount").
        n_neighbors: of how many nearest words the next one is chosen.
        mode: taken for inseq's sake; "distance" or "connectivity" choose the same words.
        n_jobs: taken for inseq's sake; torch uses the threads it has.
        save_cache: keep the neighbours that were found in `cache_dir`.
        overwrite_cache: look for them again instead of reading what is there.
        cache_dir: folder where neighbours are kept for other processes; none by default.
        internal_batch_size: at most so many points in one pass; scores do not depend on it.
        multiply_by_inputs: multiply the sum by input - baseline once more, as inseq does.
        return_convergence_delta: taken for inseq's sake; the residual is always recorded.

    Returns:
        "total" and "magnitude": (target, token) sum and L2 norm over the hidden axis, in units of
        the score; "residual": (target,) what completeness misses; "hidden" where kept.

    Raises:
        InputError: n_steps below 2, n_neighbors or internal_batch_size below 1, or a folder that is
            no path.
        UnknownNameError: a strategy or mode by another name.
    """
    del n_jobs, return_convergence_delta
    check_at_least(2, n_steps=n_steps)
    check_at_least(1, n_neighbors=n_neighbors, internal_batch_size=internal_batch_size)
    for kind, name, known in (("path strategy", method, STRATEGIES), ("mode", mode, _MODES)):
        if name not in known:
            raise UnknownNameError(kind, name, known)
    store = _store(cache_dir, save=save_cache, fresh=overwrite_cache)
    search = _Search(n_steps, method, n_neighbors, store)
    path = yield from _task_path(task, search)  # (point, token, hidden), the baseline first
    moves = path.diff(dim=0)
    times = task.embeds - task.baseline if multiply_by_inputs else torch.ones_like(task.embeds)
    ends = yield from scores((INPUT, BASELINE), at_most=internal_batch_size)
    folded = yield from contributions(
        tuple(map(Placed, path[:-1])),
        (1.0,) * (n_steps - 1),
        tuple(moves * times),
        at_most=internal_batch_size,
    )
    blocks = blocks_of(folded)
    if not multiply_by_inputs:
        residual = ends[0] - ends[1] - folded.total.sum(-1)
        blocks["residual"] = Block(residual, ("target",))
    return blocks


@dataclass(frozen=True, slots=True)
class _Search:
    """How paths are looked for."""

    steps: int
    strategy: str
    neighbours: int
    store: Store | None


def _task_path(task: Task, search: _Search) -> Steps[Float[Tensor, "point token hidden"]]:
    """The points of every token's path, found once for each word and baseline."""
    special = torch.zeros_like(task.free) if task.special is None else task.special
    facts = torch.stack([task.ids, task.baseline_ids, special.long()], dim=1)
    sides: tuple[tuple[Side, Tensor], ...] = (("decoder", facts[task.encoder :]),)
    if task.encoder:
        sides = (("encoder", facts[: task.encoder]), *sides)
    found: list[Tensor] = []
    for side, some in sides:
        words, places = some.unique(dim=0, return_inverse=True)
        parts: list[Tensor] = []
        for part in words.split(_ABREAST):
            here = yield from _paths(part, side, search)
            parts.append(here)
        found.append(torch.cat(parts, dim=1)[:, places])
    return torch.cat(found, dim=1)


def _paths(
    facts: Int[Tensor, "word 3"], side: Side, search: _Search
) -> Steps[Float[Tensor, "point word hidden"]]:
    """The points of some paths, given by word, baseline and whether the word is special."""
    word, end = facts[:, 0], facts[:, 1]
    base = yield from embed(_listed(end), side=side)
    passed, vectors = word[:, None], [(yield from embed(_listed(word), side=side))]
    for _ in range(search.steps - 2):
        here, following = passed[:, -1], passed[:, -1].clone()
        moving = (facts[:, 2] == 0) & (here != end)
        if moving.any():
            some = yield from nearest(
                _listed(here[moving]), search.neighbours, side=side, plain=False, store=search.store
            )
            anchors = yield from embed(_listed(some.flatten()), side=side)
            cost = costs(
                anchors.unflatten(0, some.shape),
                vectors[-1][moving],
                base[moving],
                search.steps,
                search.strategy,
            )
            following[moving] = best(some, cost, passed[moving], end[moving])
        passed = torch.cat([passed, following[:, None]], dim=1)
        vectors.append((yield from embed(_listed(following), side=side)))
    return points(torch.stack(vectors), base, search.steps)


def _listed(ids: Tensor) -> tuple[int, ...]:
    return tuple(ids.tolist())


def _store(folder: object, *, save: bool, fresh: bool) -> Store | None:
    if folder is None:
        return None
    if not isinstance(folder, str | PathLike):
        raise InputError(f"cache_dir must be the path of a folder, not {folder!r}")
    return Store(str(folder), save, fresh)
