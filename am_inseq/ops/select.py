"""Some of the tokens of an attribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from am_inseq.core.attribution import Attribution, Block
from am_inseq.errors import InputError


def keep_tokens(attribution: Attribution, places: Sequence[int]) -> Attribution:
    """The attribution to some tokens only; every target stays.

    Rows are no longer complete, so there is no residual any more.

    Args:
        attribution: the attribution.
        places: ascending positions on the token axis, those of all targets among them.

    Raises:
        InputError: positions outside, not ascending, or without those of the targets.
    """
    count = len(attribution.tokens)
    if list(places) != sorted({*places}) or not {*places} <= {*range(count)}:
        raise InputError(f"the tokens to keep must be ascending positions below {count}")
    home = {place: index for index, place in enumerate(places)}
    spans = attribution.spans
    needed = {*attribution.targets, *(p for span in spans or () for p in range(*span))}
    if not needed <= {*places}:
        raise InputError("tokens that are explained cannot be left out; keep every target")
    return replace(
        attribution,
        tokens=tuple(attribution.tokens[place] for place in places),
        targets=tuple(home[place] for place in attribution.targets),
        spans=None if spans is None else tuple((home[a], home[b - 1] + 1) for a, b in spans),
        blocks={name: _kept(attribution, b, places) for name, b in attribution.blocks.items()},
        diagnostics=replace(attribution.diagnostics, residual=None),
    )


def _kept(attribution: Attribution, block: Block, places: Sequence[int]) -> Block:
    encoder = sum(token.side == "encoder" for token in attribution.tokens)
    sources = [place for place in places if place < encoder]
    values = block.values
    for dim, axis in enumerate(block.axes):
        if axis in ("token", "source"):
            chosen = list(places) if axis == "token" else sources
            values = values.index_select(dim, torch.tensor(chosen, dtype=torch.long))
    return replace(block, values=values)
