"""How a method asks: each function yields one evaluation and returns its answer."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from am_inseq.core.evaluation import (
    AttentionMaps,
    Attentions,
    Contributions,
    Embed,
    Folded,
    Nearest,
    Peers,
    Progress,
    Run,
    Scores,
    SiteContributions,
    SiteFolded,
    Steps,
    Store,
    Tell,
    ValueZeroing,
    ZeroedMaps,
)
from am_inseq.core.scoring import BoundScore
from am_inseq.core.tokens import Side
from am_inseq.core.units import Pick
from am_inseq.core.variants import INPUT, Factor, Moved, Placed, Rule, Variant


def scores(
    variants: tuple[Variant, ...],
    of: tuple[BoundScore, ...] = (),
    targets: tuple[int, ...] = (),
    at_most: int | None = None,
) -> Steps[Tensor]:
    """Asks for scores; see `Scores`."""
    return (yield Scores(variants, of, targets, at_most))


def contributions(  # noqa: PLR0913 - one for each field
    variants: tuple[Moved | Placed, ...] = (INPUT,),
    weights: tuple[float, ...] = (1.0,),
    factor: Factor | tuple[Tensor, ...] = Factor.ONE,
    *,
    own: bool = False,
    rule: Rule = Rule.GRADIENT,
    at_most: int | None = None,
    spread: bool = False,
) -> Steps[Folded]:
    """Asks for folded gradients; see `Contributions`."""
    return (yield Contributions(variants, weights, factor, own, rule, at_most, spread))


def attentions(layers: Pick = None, heads: Pick = None) -> Steps[AttentionMaps]:
    """Asks for attention weights; see `Attentions`."""
    return (yield Attentions(layers, heads))


def site_contributions(asked: SiteContributions) -> Steps[SiteFolded]:
    """Asks for contributions inside the network; see `SiteContributions`."""
    return (yield asked)


def value_zeroing(asked: ValueZeroing) -> Steps[ZeroedMaps]:
    """Asks for the changes of block outputs; see `ValueZeroing`."""
    return (yield asked)


def nearest(
    ids: tuple[int, ...],
    k: int,
    *,
    side: Side = "decoder",
    plain: bool = True,
    store: Store | None = None,
) -> Steps[Tensor]:
    """Asks for neighbours in the vocabulary; see `Nearest`."""
    return (yield Nearest(ids, k, side, plain, store))


def peers(
    ids: tuple[int, ...], by: Literal["any", "pos"] = "any", side: Side = "decoder"
) -> Steps[tuple[Tensor, ...]]:
    """Asks for entries of the same kind; see `Peers`."""
    return (yield Peers(ids, by, side))


def embed(ids: tuple[int, ...], *, side: Side = "decoder") -> Steps[Tensor]:
    """Asks for embeddings of ids; see `Embed`."""
    return (yield Embed(ids, side))


def run(asked: Run) -> Steps[Any]:
    """Hands a program the score as a function; see `Run`."""
    return (yield asked)


def tell(sentence: str) -> Steps[None]:
    """Tells the user something; see `Tell`."""
    yield Tell(sentence)


def progress(share: float, *, ahead: int = 0) -> Steps[None]:
    """Tells how far the method has come; see `Progress`."""
    yield Progress(share, ahead)


def tell_unused_score(method: str, score: str) -> Steps[None]:
    """Tells that a chosen score plays no part in what a method finds inside the network."""
    if score not in {"probability", "log_probability"}:  # the defaults: chosen by nobody
        yield from tell(
            f"{method} looks into the network, not at a score: {score} is not used; record it as a "
            "step score instead"
        )
