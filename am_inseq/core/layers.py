"""What the methods that look at places inside the network share."""

from __future__ import annotations

from am_inseq.core.attribution import AxisName, Block
from am_inseq.core.evaluation import SiteFolded
from am_inseq.core.specs import Blocks
from am_inseq.errors import InputError, UnsupportedError


def as_sites(target_layer: object) -> tuple[object, ...]:
    """What the user wrote as `target_layer`, as one or several places.

    Raises:
        InputError: an empty list.
    """
    if isinstance(target_layer, list | tuple) and not target_layer:
        raise InputError("target_layer names no place; leave it out for the embeddings")
    return tuple(target_layer) if isinstance(target_layer, list | tuple) else (target_layer,)


def at_most(internal_batch_size: object) -> int | None:
    """The option `internal_batch_size` as a bound on rows.

    Raises:
        InputError: it is not a number from 1 on.
    """
    if internal_batch_size is None:
        return None
    if not isinstance(internal_batch_size, int) or internal_batch_size < 1:
        raise InputError(f"internal_batch_size takes a number from 1 on, not {internal_batch_size}")
    return internal_batch_size


def refuse_custom(custom_attribution_func: object) -> None:
    """Refuses DeepLIFT's `custom_attribution_func`.

    Raises:
        UnsupportedError: there is one.
    """
    if custom_attribution_func is not None:
        raise UnsupportedError(
            "custom_attribution_func is not supported; multiply_by_inputs=False gives the "
            "multipliers to combine as you like"
        )


def site_blocks(folded: SiteFolded, *, is_complete: bool) -> Blocks:
    """The blocks of a layer method.

    Args:
        folded: the contributions at every site.
        is_complete: whether rows should sum to `folded.difference`.

    Returns:
        "total" and "magnitude": (target, token) means over the sites; where there are several
        "layer_total" and "layer_magnitude" (target, token, layer); "residual" (target,), of the
        means; "hidden" where kept.
    """
    names = folded.names
    table: tuple[AxisName, ...] = ("target", "token")
    blocks = {
        "total": Block(folded.total.mean(-1), table, names),
        "magnitude": Block(folded.magnitude.mean(-1), table, names),
    }
    if is_complete:
        residual = folded.difference - folded.total.sum(1)
        blocks["residual"] = Block(residual.mean(-1), ("target",))
    several = len(names) > 1
    if several:
        blocks["layer_total"] = Block(folded.total, (*table, "layer"), names)
        blocks["layer_magnitude"] = Block(folded.magnitude, (*table, "layer"), names)
    if folded.hidden is not None:
        axes: tuple[AxisName, ...] = (*table, *(("layer",) if several else ()), "hidden")
        hidden = folded.hidden if several else folded.hidden[:, :, 0]
        blocks["hidden"] = Block(hidden, axes, names)
    return blocks
