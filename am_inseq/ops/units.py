"""Tokens taken together: by word, sentence, line, paragraph, pattern, chat message or role."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution, Block, Diagnostics
from am_inseq.core.tokens import MERGED, Part, Token, together
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.numerics.words import TEXT_UNITS, text_bounds, unit_of
from am_inseq.ops.reduce import How, find_reduction, reduce_groups
from am_inseq.ops.scores import merge_scores

Group: TypeAlias = tuple[int, ...]
Partition: TypeAlias = tuple[Group, ...]

UNITS: Final = ("token", *TEXT_UNITS, "message", "role")
_LIKE_BEFORE: Final = "as before"  # the unit of a token without text at the end of a part
_BOUNDED: Final = ("sum", "mean")  # errors of the parts bound that of the whole, made alike


def partition(
    attribution: Attribution, unit: str, *, pattern: str | None = None
) -> tuple[tuple[int, ...], ...]:
    """Groups of positions on the token axis that make up one unit of text each.

    Every token is in exactly one group, groups are in the order of their first token, and no group
    reaches from prompt into continuation or from encoder into decoder. Special tokens stand alone.
    Tokens that share a user-visible character are never parted, not even by "token"; tokens without
    text go with the token after them, or with the unit before them at the end of a part. A token
    that reaches over the border of two units belongs to that with more of its visible characters.
    All groups but those of "role" are contiguous.

    Args:
        attribution: what is to be grouped; only its texts and tokens are looked at.
        unit: one of `UNITS`; see `am_inseq.numerics.words.text_bounds` for those of text. "message"
            and "role" are those of a chat: what the template puts around messages is in groups of
            its own, one for each stretch by message, one in all by role. Outside chats the whole
            prompt is one message.
        pattern: the regular expression of the unit "regex".

    Raises:
        UnknownNameError: no such unit.
        InputError: a pattern that is missing, wrong or takes too long.
    """
    if unit not in UNITS:
        raise UnknownNameError("unit", unit, UNITS)
    if pattern is not None and unit != "regex":
        raise InputError(f"a pattern is for the unit 'regex'; {unit!r} takes none")
    label = _labeller(attribution, unit, pattern)
    groups: list[list[int]] = []
    for stretch in _stretches(attribution.tokens):
        before: object = None
        for atom in _atoms(attribution.tokens, stretch):
            here = label(atom[-1])
            if before is not None and here in (before, _LIKE_BEFORE):
                groups[-1] += atom
                continue
            groups.append(atom)
            before = here
    if unit == "role":
        groups = _by_role(attribution.tokens, groups)
    return tuple(tuple(group) for group in groups)


def merge(
    attribution: Attribution,
    partition: Sequence[Sequence[int]],
    how: How = "sum",
    *,
    targets: bool = False,
    aggregates: Mapping[str, object] | None = None,
) -> Attribution:
    """The attribution with one token for each group.

    Values of tokens that stand before a target are merged by `how`; a group with none of them gets
    0. "sum" keeps every row's sum. A merged token has the id `MERGED`, the text of the whole group
    and its range; where a group is scattered, as a role's may be, the range of its first stretch.

    Args:
        attribution: the attribution.
        partition: groups of positions on the token axis, every token in exactly one; see
            `partition`.
        how: "sum", "mean", "max", "min", "prod", "absmax", "vnorm", or a function (values, dim).
        targets: merge targets of one group too, by `how`; their probabilities are multiplied, and
            step scores merged as `aggregates` says, or else as each score has it. If not, tokens
            that are targets stay apart from all others, whatever their group.
        aggregates: step score to a reduction of its own.

    Returns:
        an attribution whose tokens are the groups.

    Raises:
        InputError: groups that leave out or repeat a token, or that are empty.
        UnknownNameError: no such reduction.
    """
    reduction = find_reduction(how)
    groups = _checked(partition, len(attribution.tokens))
    if not targets:
        groups = _apart(groups, frozenset(_explained(attribution)))
    home = {place: index for index, group in enumerate(groups) for place in group}
    rows = _target_groups(attribution, home) if targets else None
    blocks = {
        name: _merged(attribution, block, groups, rows, reduction)
        for name, block in attribution.blocks.items()
        if name != "standard_error" or how in _BOUNDED
    }
    each = rows or tuple((index,) for index in range(len(attribution.targets)))
    spans = None
    if attribution.spans is not None:
        spans = tuple(_span([attribution.spans[index] for index in row], home) for row in each)
    chances, partners = attribution.probabilities, attribution.contrast
    return replace(
        attribution,
        tokens=tuple(_joined(attribution, group) for group in groups),
        blocks=blocks,
        targets=tuple(home[attribution.targets[row[-1]]] for row in each),
        spans=spans,
        contrast=partners and tuple(together([partners[index] for index in row]) for row in each),
        probabilities=tuple(math.prod(chances[index] for index in row) for row in each),
        step_scores={
            name: values if rows is None else merge_scores(name, values, rows, aggregates)
            for name, values in attribution.step_scores.items()
        },
        diagnostics=_diagnosed(attribution.diagnostics, blocks, each, how),
    )


def _span(spans: Sequence[tuple[int, int]], home: Mapping[int, int]) -> tuple[int, int]:
    """The range of groups that some ranges of tokens reach over."""
    ends = [home[end - 1] for _, end in spans]
    return min(home[start] for start, _ in spans), max(ends) + 1


def _diagnosed(
    found: Diagnostics, blocks: Mapping[str, Block], rows: Partition, how: How
) -> Diagnostics:
    """Diagnostics of merged targets; completeness is a matter of sums."""
    residual, error = found.residual, blocks.get("standard_error")
    if how != "sum":
        residual = None
    if residual is not None:
        residual = tuple(math.fsum(residual[index] for index in row) for row in rows)
    errors = None if error is None else tuple(error.values.amax(-1).tolist())
    return replace(found, residual=residual, standard_error=errors)


def _labeller(attribution: Attribution, unit: str, pattern: str | None) -> Callable[[int], object]:
    """What tells the units of two neighbours apart, by position of a token."""
    tokens = attribution.tokens
    if unit == "token":
        return lambda place: place
    if unit == "message":
        return lambda place: tokens[place].message
    if unit == "role":
        return lambda place: tokens[place].role or ""
    texts = {"prompt": attribution.prompt, "continuation": attribution.continuation}
    try:
        bounds = {part: text_bounds(text, unit, pattern) for part, text in texts.items()}
    except ValueError as error:
        raise InputError(str(error)) from error

    def label(place: int) -> object:
        token = tokens[place]
        if token.start == token.end:
            return _LIKE_BEFORE
        return unit_of(bounds[token.part], texts[token.part], (token.start, token.end))

    return label


def _stretches(tokens: Sequence[Token]) -> Iterator[list[int]]:
    """Neighbours of one side and part; special tokens alone."""

    def key(place: int) -> tuple[object, ...]:
        token = tokens[place]
        return (token.side, token.part, place if token.part == "special" else None)

    for _, places in itertools.groupby(range(len(tokens)), key=key):
        yield list(places)


def _atoms(tokens: Sequence[Token], stretch: Sequence[int]) -> Iterator[list[int]]:
    """Tokens that cannot be parted; the last of each has text, where any of the stretch has."""
    waiting: list[list[int]] = []
    last: list[int] | None = None
    for place in stretch:
        token = tokens[place]
        if token.start == token.end and token.part != "special":
            waiting.append([place])
            continue
        before = None if last is None else tokens[last[-1]]
        if last is not None and before is not None and _shares(before, token):
            last += [*itertools.chain(*waiting), place]
        else:
            if last is not None:
                yield last
            last = [*itertools.chain(*waiting), place]
        waiting = []
    if last is not None:
        yield last
    yield from waiting


def _shares(one: Token, other: Token) -> bool:
    """Whether they stand for the same characters."""
    return one.part != "special" and (one.start, one.end) == (other.start, other.end)


def _by_role(tokens: Sequence[Token], groups: Sequence[list[int]]) -> list[list[int]]:
    """Groups of one role as one; special tokens alone."""
    found: dict[object, list[int]] = {}
    for group in groups:
        token = tokens[group[0]]
        alone = group[0] if token.part == "special" else None
        found.setdefault((token.side, token.part, token.role, alone), []).extend(group)
    return list(found.values())


def _checked(groups: Sequence[Sequence[int]], count: int) -> Partition:
    flat = [place for group in groups for place in group]
    if sorted(flat) != list(range(count)) or not all(groups):
        raise InputError(
            f"the groups must hold each of the {count} tokens exactly once, and none may be empty; "
            "am_inseq.ops.units.partition makes such groups"
        )
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def _explained(attribution: Attribution) -> Iterator[int]:
    """Every token that is a target, or part of one."""
    yield from attribution.targets
    for start, end in attribution.spans or ():
        yield from range(start, end)


def _apart(groups: Partition, alone: frozenset[int]) -> Partition:
    """Groups with those tokens alone."""
    found: list[Group] = [(place,) for place in sorted(alone)]
    for group in groups:
        runs = itertools.groupby(group, key=lambda place: place in alone)
        found.extend(tuple(run) for is_alone, run in runs if not is_alone)
    return tuple(sorted(found))


def _target_groups(attribution: Attribution, home: Mapping[int, int]) -> Partition:
    """Indices of targets that end in one group, in order."""
    rows: dict[int, list[int]] = {}
    for index, place in enumerate(attribution.targets):
        rows.setdefault(home[place], []).append(index)
    return tuple(tuple(rows[group]) for group in sorted(rows))


def _joined(attribution: Attribution, group: Group) -> Token:
    tokens = [attribution.tokens[place] for place in group]
    if len(tokens) == 1:
        return tokens[0]
    parts = {token.part for token in tokens}
    # across the border, as inseq's spans may be, it counts as what is explained
    order: tuple[Part, ...] = ("continuation", "prompt", "special")
    part: Part = next(one for one in order if one in parts)
    whole = attribution.continuation if part == "continuation" else attribution.prompt
    written = [token for token in tokens if token.part == part and token.start >= 0]
    ranges = _ranges(written) or [(-1, -1)]
    texts = [whole[start:end] for start, end in ranges if start >= 0]
    if len(parts) > 1 or not texts:
        texts = ["".join(token.text for token in tokens)]
    first = written[0] if written else tokens[0]
    alike = all(token.message == first.message for token in written)
    return Token(
        id=MERGED,
        piece="".join(token.piece for token in tokens),
        text=" … ".join(texts),
        side=tokens[-1].side,
        part=part,
        start=ranges[0][0],
        end=ranges[0][1],
        role=first.role if all(token.role == first.role for token in written) else None,
        message=first.message if alike else -1,
    )


def _ranges(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """The text of tokens as ranges that do not touch."""
    found: list[tuple[int, int]] = []
    for token in tokens:
        if token.start == token.end:
            continue
        if found and token.start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], token.end))
        else:
            found.append((token.start, token.end))
    return found


def _merged(
    attribution: Attribution,
    block: Block,
    groups: Partition,
    rows: Partition | None,
    reduction: Callable[..., Tensor],
) -> Block:
    """The block with its axes of tokens, and of targets where `rows` says, merged."""
    is_flat = block.values.ndim <= 2  # hidden coordinates are many
    values = block.values.double() if is_flat else block.values
    if "token" in block.axes and "target" in block.axes:
        values = _only_before(attribution, values, block)
    encoder = sum(token.side == "encoder" for token in attribution.tokens)
    sources = [group for group in groups if group[-1] < encoder]
    for dim, axis in enumerate(block.axes):
        if axis == "target" and rows is not None:
            values = reduce_groups(values, rows, dim, reduction)
        elif axis in ("token", "source"):
            values = reduce_groups(values, groups if axis == "token" else sources, dim, reduction)
    return replace(block, values=values.nan_to_num(0.0).to(block.values.dtype))


def _only_before(attribution: Attribution, values: Tensor, block: Block) -> Tensor:
    """NaN for tokens that a target does not read."""
    token, target = block.axes.index("token"), block.axes.index("target")
    places = torch.arange(len(attribution.tokens))
    unread = places[None, :] >= torch.tensor(attribution.targets)[:, None]
    shape = [1] * values.ndim
    shape[target], shape[token] = unread.shape
    return values.masked_fill((unread if target < token else unread.T).reshape(shape), math.nan)
