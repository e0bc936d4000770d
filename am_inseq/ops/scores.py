"""Step scores of targets that are merged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from am_inseq.core.scoring import ScoreSpec
from am_inseq.errors import InputError
from am_inseq.ops.reduce import REDUCTIONS, find_reduction, product, reduce_groups, total
from am_inseq.scores import SCORES

Merging: TypeAlias = Callable[[Tensor, int], Tensor]

_KINDS: Final = ("spans", "span_aggregate")  # inseq's key, and that of its documentation
_OTHERWISE: Final = "absmax"


def joint(values: Tensor, dim: int) -> Tensor:
    """The probability of all; of logarithms (none of them above 0), their sum."""
    return total(values, dim) if bool((values < 0).any()) else product(values, dim)


# inseq multiplies differences and deviations too, which makes a number without a meaning
_DEFAULTS: Final[Mapping[str, object]] = {
    "contrast_prob": joint,
    "contrast_prob_diff": "sum",
    "crossentropy": "sum",
    "entropy": "sum",
    "kl_divergence": "sum",
    "log_probability": "sum",
    "mc_dropout_prob_avg": "sum",
    "pcxmi": "sum",
    "perplexity": "prod",
    "probability": joint,
}


def find_merging(
    name: str,
    aggregates: Mapping[str, object] | None = None,
    kind: str = "spans",
    otherwise: object = _OTHERWISE,
) -> Merging:
    """How values of a step score at several targets become one value.

    Looked for in `aggregates`, then in what the score was declared or registered with, then in the
    table of the scores that multiply or add up; else it is `otherwise`.

    Args:
        name: the score.
        aggregates: score to the name of a reduction, or a function.
        kind: the aggregator's own name; "spans" stands for all of its family.
        otherwise: by default the value that is furthest from 0.

    Raises:
        UnknownNameError: a reduction that does not exist.
        InputError: neither a name nor a function.
    """
    if aggregates is not None and name in aggregates:
        return as_merging(aggregates[name])
    declared = SCORES[name].aggregates if name in SCORES else {}
    return _declared(name, declared, kind, otherwise)


def merge_members(
    score: ScoreSpec, values: Sequence[float], ranges: Sequence[tuple[int, int]]
) -> tuple[float, ...]:
    """A recorded score of targets that are stretches of tokens, one value for each stretch.

    Merged as the score was declared or registered; a probability multiplies, so that it is that of
    the whole stretch. Scores that say nothing add up, as the explained score of a stretch does.

    Args:
        score: which one.
        values: (member,) its value at each token.
        ranges: the half-open range of members of each target.
    """
    merging = _declared(score.name, score.aggregates, "spans", "sum")
    exact = torch.tensor(values, dtype=torch.float64)
    return tuple(reduce_groups(exact, [range(*one) for one in ranges], 0, merging).tolist())


def as_merging(given: object) -> Merging:
    """A reduction by name, a function of (values, dim), or one of (batch, target) values alone.

    The last is the form of inseq's documentation: `lambda x: x.prod(dim=1, keepdim=True)`.
    """
    if isinstance(given, str):
        return find_reduction(given)
    if not callable(given):
        raise InputError(
            f"a step score is merged by a name ({', '.join(REDUCTIONS)}) or a function, "
            f"not {given!r}"
        )
    function: Callable[..., Any] = given
    return _along_rows(function) if _takes_one(function) else function


def merge_scores(
    name: str,
    values: Sequence[float],
    rows: Sequence[Sequence[int]],
    aggregates: Mapping[str, object] | None = None,
) -> tuple[float, ...]:
    """The score with one value for each group of targets; see `find_merging`."""
    merging = find_merging(name, aggregates)
    exact = torch.tensor(values, dtype=torch.float64)
    return tuple(reduce_groups(exact, rows, 0, merging).tolist())


def _declared(name: str, declared: Mapping[str, object], kind: str, otherwise: object) -> Merging:
    found = next((declared[key] for key in (kind, *_KINDS) if key in declared), None)
    return as_merging(_DEFAULTS.get(name, otherwise) if found is None else found)


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, as torch.prod is
        return False
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    many = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return not many and sum(p.kind in placed for p in parameters) == 1


def _along_rows(function: Callable[..., Any]) -> Merging:
    """A function of (batch, target) values as a reduction of one dimension."""

    def reduce(values: Tensor, dim: int) -> Tensor:
        rows = values.movedim(dim, -1)
        flat = rows.reshape(-1, rows.shape[-1])
        found = function(flat)
        if not isinstance(found, Tensor) or found.numel() != len(flat):
            raise InputError(
                "a function that merges a step score must return one number for each of the "
                f"{len(flat)} rows of its (batch, target) input"
            )
        return found.reshape(rows.shape[:-1])

    return reduce
