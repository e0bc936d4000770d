"""One value for each token of a run: what its further axes and its sum are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.core.attribution import Attribution
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.ops.reduce import REDUCTIONS

_FULL: Final = ("hidden", "attention", "value_zeroing", "layer_magnitude")
_DEFAULTS: Final = {"hidden": "vnorm", "layer": "mean", "head": "mean"}


_PASSED: Final = frozenset({"scores"})  # names of whole aggregators that leave the default as it is


def check_aggregators(names: Sequence[str]) -> None:
    """Refuses names that merge no values of one token.

    Raises:
        UnknownNameError: a name that no aggregation function has.
    """
    for name in names:
        if name not in {*REDUCTIONS, *_PASSED}:
            raise UnknownNameError("aggregation function", name, {*REDUCTIONS, *_PASSED})


def token_values(
    attribution: Attribution, args: AttributeContextArgs, *, with_target: bool
) -> Float[Tensor, "target token"]:
    """(target, token) one value for each pair.

    Without aggregators the method's default: the L2 norm over the hidden coordinates, the mean over
    heads and layers, of effects their size. With them, each takes the last of the axes that are
    left.

    Args:
        attribution: the run's result.
        args: names the aggregators.
        with_target: whether the decoder's tokens of an encoder-decoder count.

    Raises:
        InputError: an aggregator for an axis that the method does not have, or a selector beyond
            its end.
    """
    names = [name for name in args.attribution_aggregators or () if name not in _PASSED]
    values = _default(attribution)
    if names:
        values = _reduced(attribution, names, args.attribution_selectors)
    if args.normalize_attributions or args.rescale_attributions:
        values = _shares(attribution, values, with_target=with_target)
        if args.rescale_attributions:
            values = values * _counted(attribution, with_target=with_target).sum(-1, keepdim=True)
    return values


def _default(attribution: Attribution) -> Tensor:
    found = attribution.blocks.get("magnitude")
    return attribution.values.abs() if found is None else found.values


def _reduced(
    attribution: Attribution, names: Sequence[str], selectors: Sequence[int] | None
) -> Tensor:
    full = next((attribution.blocks[n] for n in _FULL if n in attribution.blocks), None)
    if full is None:
        raise InputError(
            f"{attribution.method} gives one value for each token, so there is nothing for the "
            f"aggregators {', '.join(names)} to merge; leave them out"
        )
    values, axes = full.values, list(full.axes)
    for name in names:
        if len(axes) == 2:
            raise InputError(
                f"{attribution.method} has {len(full.axes) - 2} axes beside the tokens, fewer than "
                f"the {len(names)} aggregators {', '.join(names)}; leave some out"
            )
        values = REDUCTIONS[name](_selected(values, axes.pop(), selectors), -1)
    while len(axes) > 2:
        values = REDUCTIONS[_DEFAULTS[axes.pop()]](values, -1)
    return values


def _selected(values: Tensor, axis: str, selectors: Sequence[int] | None) -> Tensor:
    if selectors is None:
        return values
    size = values.shape[-1]
    outside = [index for index in selectors if not -size <= index < size]
    if outside:
        raise InputError(f"selector {outside[0]} lies outside the {size} entries of axis {axis!r}")
    chosen = torch.tensor([index % size for index in selectors])
    return values.index_select(-1, chosen)


def _counted(attribution: Attribution, *, with_target: bool) -> Float[Tensor, "target token"]:
    """(target, token) 1 for the tokens that are attributed: those of its side before it."""
    places = torch.arange(len(attribution.tokens))
    counted = places < torch.tensor(attribution.targets)[:, None]
    sides = torch.tensor([token.side == "encoder" for token in attribution.tokens])
    if bool(sides.any()) and not with_target:
        counted = counted & sides
    return counted.float()


def _shares(attribution: Attribution, values: Tensor, *, with_target: bool) -> Tensor:
    counted = values * _counted(attribution, with_target=with_target)
    whole = counted.abs().sum(-1, keepdim=True)
    return torch.where(whole > 0, counted / whole, 0.0)
