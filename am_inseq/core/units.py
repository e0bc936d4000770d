"""Choices among the layers or heads of a network, as users write them, before they are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from am_inseq.errors import InputError

Pick: TypeAlias = slice | tuple[int, ...] | None
"""A range, some numbers, or all; negative numbers count from the end."""

Layered: TypeAlias = Pick | Mapping[int, Pick]
"""A choice for every layer alike, or for each of some layers."""


def resolve(what: str, pick: Pick, count: int) -> tuple[int, ...]:
    """The chosen ones of `count`, as numbers from 0.

    Args:
        what: what is counted, for the error, for example "attention heads".
        pick: the choice.
        count: how many there are.

    Raises:
        InputError: one of them does not exist, or none is left.
    """
    if pick is None:
        return tuple(range(count))
    if isinstance(pick, slice):
        bounds = (pick.start, pick.stop)
        found = tuple(range(*pick.indices(count)))
        if not found or any(not -count <= bound <= count for bound in bounds):
            raise InputError(f"{what} {bounds!r}: no such range; there are {count}, end excluded")
        return found
    for one in pick:
        if not -count <= one < count:
            raise InputError(f"{what}: there is no {one}; there are {count}, 0 to {count - 1}")
    return tuple(one % count for one in pick)


def read_pick(name: str, chosen: Any) -> Pick:
    """A choice of layers or heads.

    Args:
        name: the option, for the error.
        chosen: None for all; a number; a (start, end) tuple, end excluded; or a list of numbers.
            Negative numbers count from the end.

    Raises:
        InputError: none of these, or a list that is empty or names one twice.
    """
    if chosen is None:
        return None
    many = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
    is_range = isinstance(chosen, tuple)
    if not all(type(one) is int for one in many) or (is_range and len(many) != 2):
        raise InputError(
            f"{name} takes None, a number, a (start, end) tuple or a list of numbers, "
            f"not {chosen!r}"
        )
    if is_range:
        return slice(*many)
    if len(set(many)) != len(many) or not many:
        raise InputError(f"{name} takes each number once and at least one, not {chosen!r}")
    return tuple(many)


def read_layered(name: str, chosen: Any) -> Layered:
    """A choice for every layer alike, or a {layer: choice} mapping; see `read_pick`.

    Layers may be written as text, which is how JSON has them.

    Raises:
        InputError: a layer that is not a number, or a choice that is none.
    """
    if not isinstance(chosen, Mapping):
        return read_pick(name, chosen)
    found: dict[int, Pick] = {}
    for layer, heads in chosen.items():
        if not str(layer).isdecimal():
            raise InputError(f"{name} maps layers 0, 1, … to heads; {layer!r} is no layer")
        found[int(layer)] = read_pick(f"{name}[{layer}]", heads)
    return found
