"""ReAGent: importance learnt by replacing tokens until the important ones suffice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from am_inseq.core.asking import nearest, peers, progress, scores, tell
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.specs import Blocks, Unit, method
from am_inseq.core.task import Task
from am_inseq.core.tokens import Side
from am_inseq.core.variants import Replaced
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.numerics.designs import Streams, streams
from am_inseq.scores.probability import probability
from am_inseq.scores.rank import outside_top

_SAMPLERS: Final = ("neighbours", "uniform", "pos")
_LARGEST: Final = 1 - 1e-6  # change of a probability; at 1 the evidence would be infinite


@method(
    "reagent",
    source="https://arxiv.org/abs/2402.00794",
    primary="weight",
    cost="a probe step: num_probes forwards for all targets together, num_probes a target",
    unit=Unit.SHARE,
)
def reagent(  # noqa: PLR0913 - inseq's options
    task: Task,
    *,
    keep_top_n: int = 5,
    keep_ratio: float | None = None,
    invert_keep: bool = False,
    stopping_condition_top_k: int = 3,
    replacing_ratio: float = 0.3,
    max_probe_steps: int = 3000,
    num_probes: int = 16,
    sampler: str = "neighbours",
    n_neighbors: int = 50,
    seed: int = 0,
) -> Steps[Blocks]:
    """How much each token matters for the probability, learnt by replacing tokens at random.

    Each probe step replaces some tokens by plausible others; the change of the target's probability
    is evidence for those replaced and against those kept. A probe ends when the tokens that matter
    most suffice to keep the target among the likeliest. Whatever score was chosen, the probability
    is what is explained. Costs `num_probes` forwards a probe step for all targets together, and as
    many for each target whose probes go on; an estimate takes every step that it may take.

    Args:
        task: what to attribute.
        keep_top_n: how many tokens must suffice at the end of a probe; 0: `keep_ratio` says it.
        keep_ratio: the share of the tokens before the target that must suffice.
        invert_keep: replace those tokens at the end of a probe instead of all others.
        stopping_condition_top_k: how many tokens count as the likeliest.
        replacing_ratio: the chance of each token to be replaced.
        max_probe_steps: a probe that has not ended after so many steps is taken as it is.
        num_probes: how many probes are averaged.
        sampler: where other tokens come from: "neighbours" (entries of near embeddings), "uniform"
            (any entry of the vocabulary) or "pos" (the same part of speech; needs nltk).
        n_neighbors: of how many near entries "neighbours" draws one.
        seed: of all draws.

    Returns:
        "weight": (target, token) share of the importance, each row summing to 1, 0 at or after the
        target; "standard_error": (target, token) of the mean over probes, where there are several;
        "hidden": (target, token, 1) the weights again, where kept, since inseq normalises these.

    Raises:
        InputError: an option out of range.
        UnknownNameError: a sampler by another name.
        UnsupportedError: "pos" without nltk or its data.
    """
    _check(keep_top_n, keep_ratio, replacing_ratio)
    for name, number in (
        ("stopping_condition_top_k", stopping_condition_top_k),
        ("max_probe_steps", max_probe_steps),
        ("num_probes", num_probes),
        ("n_neighbors", n_neighbors),
    ):
        if number < 1:
            raise InputError(f"{name} must be at least 1, not {number}")
    if task.score.spec.name not in ("probability", "log_probability"):
        yield from tell(
            f"reagent explains the probability of each target, not {task.score.spec.name}"
        )
    probes = _Probes(task, streams(seed, len(task.ids)), num_probes)
    choices = yield from _choices(task, sampler, n_neighbors)
    asked = (probability.bind(), outside_top.bind({"k": stopping_condition_top_k}))
    whole = (yield from scores((Replaced(),), of=asked)).cpu()[:, 0]  # (score, target)
    kept = _kept(probes.moving, keep_top_n, keep_ratio)
    yield from progress(0.0, ahead=(max_probe_steps - 1) * num_probes * (1 + len(kept)))
    for step in range(max_probe_steps):
        if not bool(probes.active.any()):
            break
        ended = 1 - float(probes.active.double().mean())
        yield from progress(max(ended, step / max_probe_steps))
        chance, other, last = (probes.draws.uniforms(num_probes) for _ in range(3))
        replaced, rows = chance < replacing_ratio, probes.active.any(0).nonzero()[:, 0]
        ids = _picked(choices, other)
        variants = tuple(_variant(replaced[row] & probes.moving[-1], ids[row]) for row in rows)
        changed = (yield from scores(variants, of=asked[:1])).cpu()[0]  # (row, target)
        probes.learn(rows, replaced[rows], whole[0] - changed)
        swapped = probes.swapped(kept, is_inverted=invert_keep)  # (target, probe, token)
        ids = _picked(choices, last)
        left = (probes.active & swapped.any(-1)).nonzero()
        outside = whole[1][:, None].expand(-1, num_probes).clone()
        if len(left):
            variants = tuple(_variant(swapped[t, r], ids[r]) for t, r in left)
            owners = tuple(left[:, 0].tolist())
            found = yield from scores(variants, of=asked[1:], targets=owners)
            outside[left[:, 0], left[:, 1]] = found[0].cpu().to(outside.dtype)
        probes.active &= outside > 0
    if bool(probes.active.any()):
        yield from tell(_unfinished(probes.active, max_probe_steps))
        unlikely = int((probes.active.any(-1) & (whole[1] > 0)).sum())
        if unlikely:
            yield from tell(
                f"{unlikely} of these targets are not among the {stopping_condition_top_k} "
                "likeliest tokens after the whole text either, so their probes can hardly end; "
                "raise stopping_condition_top_k, or lower max_probe_steps to save time"
            )
    return probes.blocks(whole.dtype)


@dataclass(slots=True)
class _Probes:
    """Importances while they are learnt.

    Attributes:
        task: what is attributed.
        draws: random numbers.
        count: how many probes each target has.
        moving: (target, token) tokens that may be replaced and stand before the target.
        logits: (target, probe, token) importances before the softmax.
        active: (target, probe) whether the probe goes on.
    """

    task: Task
    draws: Streams
    count: int
    moving: Bool[Tensor, "target token"] = field(init=False)
    logits: Float[Tensor, "target probe token"] = field(init=False)
    active: Bool[Tensor, "target probe"] = field(init=False)

    def __post_init__(self) -> None:
        self.moving = (self.task.reachable & (self.task.ids != self.task.baseline_ids)).cpu()
        first = self.draws.uniforms(self.count)
        self.logits = first.expand(len(self.moving), -1, -1).clone()
        self.active = self.moving.any(-1)[:, None].expand(-1, self.count).clone()

    def learn(
        self,
        rows: Int[Tensor, " row"],
        replaced: Bool[Tensor, "row token"],
        drop: Float[Tensor, "row target"],
    ) -> None:
        """Adds the evidence of one step: for replaced tokens where the probability dropped."""
        sizes = torch.tensor([end - start for start, end in self.task.ranges])
        drop = (drop.double() / sizes).clamp(-_LARGEST, _LARGEST)
        evidence = 2 * drop.atanh()  # the logit of (1 + drop) / 2
        signs = torch.where(replaced, 1.0, -1.0).double()
        step = evidence.T[:, :, None] * signs  # (target, row, token)
        self.logits[:, rows] += step * self.active[:, rows, None]

    def swapped(
        self, kept: Int[Tensor, " target"], *, is_inverted: bool
    ) -> Bool[Tensor, "target probe token"]:
        """The tokens to replace when a probe is tried: all but the most important, or these."""
        moving = self.moving[:, None]
        order = self.logits.masked_fill(~moving, -math.inf).argsort(
            dim=-1, descending=True, stable=True
        )
        is_top = order.argsort(dim=-1) < kept[:, None, None]
        return moving & (is_top if is_inverted else ~is_top)

    def blocks(self, dtype: torch.dtype) -> Blocks:
        """Shares, averaged over probes; rows of targets before which nothing moves are 0."""
        moving = self.moving[:, None]
        lowered = self.logits.masked_fill(~moving, -math.inf)
        highest = lowered.amax(-1, keepdim=True).nan_to_num(neginf=0.0)
        raised = (lowered - highest).exp()
        shares = raised / raised.sum(-1, keepdim=True).clamp_min(1)
        mean = shares.mean(1).to(dtype)
        found = {"weight": Block(mean, ("target", "token"))}
        if self.task.keep_hidden:
            found["hidden"] = Block(mean[..., None], ("target", "token", "hidden"))
        if self.count > 1:
            error = shares.std(1) / math.sqrt(self.count)
            found["standard_error"] = Block(error.to(dtype), ("target", "token"))
        return found


def _check(keep_top_n: int, keep_ratio: float | None, replacing_ratio: float) -> None:
    if keep_top_n < 0:
        raise InputError(f"keep_top_n must be 0 or above, not {keep_top_n}")
    if not keep_top_n and not (isinstance(keep_ratio, int | float) and 0 < keep_ratio <= 1):
        raise InputError(
            f"keep_top_n=0 needs a keep_ratio above 0 and at most 1, not {keep_ratio!r}"
        )
    if not 0 < replacing_ratio < 1:
        raise InputError(f"replacing_ratio must lie between 0 and 1, not {replacing_ratio}")


def _choices(task: Task, sampler: str, n_neighbors: int) -> Steps[tuple[Tensor, ...]]:
    """For each token the ids that may stand in its place."""
    if sampler not in _SAMPLERS:
        raise UnknownNameError("sampler", sampler, _SAMPLERS)
    found: list[Tensor] = []
    ids = tuple(task.ids.tolist())
    parts: tuple[tuple[Side, tuple[int, ...]], ...] = (
        ("encoder", ids[: task.encoder]),
        ("decoder", ids[task.encoder :]),
    )
    for side, some in parts:
        if not some:
            continue
        if sampler == "neighbours":
            found.extend((yield from nearest(some, n_neighbors, side=side)))
        else:
            found.extend((yield from peers(some, "pos" if sampler == "pos" else "any", side)))
    return tuple(entries.cpu() for entries in found)


def _picked(
    choices: tuple[Tensor, ...], chance: Float[Tensor, "probe token"]
) -> Int[Tensor, "probe token"]:
    """One of its choices for each token and probe."""
    columns = zip(choices, chance.T, strict=True)
    return torch.stack([some[(at * len(some)).long()] for some, at in columns], dim=1)


def _variant(swapped: Bool[Tensor, " token"], ids: Int[Tensor, " token"]) -> Replaced:
    places = swapped.nonzero()[:, 0]
    return Replaced(tuple(places.tolist()), tuple(ids[places].tolist()))


def _kept(
    moving: Bool[Tensor, "target token"], keep_top_n: int, keep_ratio: float | None
) -> Int[Tensor, " target"]:
    """How many tokens must suffice for each target."""
    if keep_top_n or keep_ratio is None:
        return torch.full((len(moving),), keep_top_n)
    return (moving.sum(-1) * keep_ratio).ceil().long()


def _unfinished(active: Bool[Tensor, "target probe"], steps: int) -> str:
    many, targets = int(active.sum()), int(active.any(-1).sum())
    return (
        f"{many} of {active.numel()} reagent probes, for {targets} of {len(active)} targets, did "
        f"not end within {steps} steps and are taken as they are; raise max_probe_steps or "
        "stopping_condition_top_k"
    )
