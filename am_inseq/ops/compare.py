"""Two attributions side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, Diagnostics
from am_inseq.core.tokens import BETWEEN, MERGED, Token
from am_inseq.errors import InputError, UnitError

_SAME_PROBABILITY: Final = 1e-4


def subtract(one: Attribution, other: Attribution) -> Attribution:
    """What `one` has more than `other`, table by table.

    Raises:
        InputError: their tokens or targets differ.
        UnitError: their scores are in different units.
    """
    pairs = itertools.zip_longest(one.tokens, other.tokens)
    apart = [index for index, (a, b) in enumerate(pairs) if _label(a) != _label(b)]
    if apart:
        raise InputError(
            f"attributions of different tokens cannot be subtracted; they first differ at token "
            f"{apart[0]}: {_label(_at(one, apart[0]))} and {_label(_at(other, apart[0]))}"
        )
    return combine(one, other, torch.sub)


def combine(
    one: Attribution, other: Attribution, function: Callable[[Tensor, Tensor], Tensor]
) -> Attribution:
    """`function(one, other)` of every table and step score that both have.

    Tokens may differ as long as there are as many: they are then called "a → b". The model's
    probability of a target is kept where both agree on it, and else NaN: that of a pair is none.

    Raises:
        InputError: other numbers of tokens or targets, or no table in common that is shown.
        UnitError: their scores are in different units.
    """
    if one.unit != other.unit:
        raise UnitError(
            f"scores in {one.unit} and in {other.unit} cannot be combined; attribute the same "
            "score by methods of one unit, or bring both to one scale first"
        )
    if (len(one.tokens), one.targets) != (len(other.tokens), other.targets):
        raise InputError(
            f"attributions of {len(one.tokens)} and {len(other.tokens)} tokens, with targets "
            f"{list(one.targets)} and {list(other.targets)}, cannot be combined; they need as many "
            "tokens and the same targets"
        )
    blocks = {
        name: replace(block, values=function(block.values, other.blocks[name].values))
        for name, block in one.blocks.items()
        if name in other.blocks
        and name != "standard_error"
        and block.axes == other.blocks[name].axes
        and block.values.shape == other.blocks[name].values.shape
    }
    if one.primary not in blocks or one.primary != other.primary:
        raise InputError(
            f"{one.method} and {other.method} show different tables, {one.primary!r} and "
            f"{other.primary!r}; combine attributions of one method"
        )
    return replace(
        one,
        tokens=tuple(_paired(a, b) for a, b in zip(one.tokens, other.tokens, strict=True)),
        blocks=blocks,
        probabilities=tuple(
            a if math.isclose(a, b, rel_tol=_SAME_PROBABILITY) else math.nan
            for a, b in zip(one.probabilities, other.probabilities, strict=True)
        ),
        contrast=one.contrast if one.contrast == other.contrast else None,
        is_signed=one.is_signed or bool((blocks[one.primary].values < 0).any()),
        step_scores={
            name: _each(function, values, other.step_scores[name])
            for name, values in one.step_scores.items()
            if name in other.step_scores
        },
        diagnostics=Diagnostics(
            probability_difference=max(a.diagnostics.probability_difference for a in (one, other)),
            warnings=tuple(dict.fromkeys((*one.diagnostics.warnings, *other.diagnostics.warnings))),
        ),
    )


def _each(
    function: Callable[[Tensor, Tensor], Tensor], one: tuple[float, ...], other: tuple[float, ...]
) -> tuple[float, ...]:
    exact = [torch.tensor(values, dtype=torch.float64) for values in (one, other)]
    return tuple(function(*exact).tolist())


def _paired(one: Token, other: Token) -> Token:
    if _label(one) == _label(other):
        return one
    second = other.text.removeprefix(" ") or other.text
    piece, text = f"{one.piece}{BETWEEN}{other.piece}", f"{one.text}{BETWEEN}{second}"
    return replace(one, id=MERGED, piece=piece, text=text)


def _label(token: Token | None) -> str:
    return "none" if token is None else f"{token.text!r} ({token.side})"


def _at(attribution: Attribution, index: int) -> Token | None:
    return attribution.tokens[index] if index < len(attribution.tokens) else None
