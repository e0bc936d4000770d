"""From the blocks of groups of targets to those of the whole, and what there is to say of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from am_inseq.core.attribution import Block
from am_inseq.core.specs import Blocks


def residual_warnings(
    residual: Block | None, blocks: Blocks, unit: str, options: Collection[str]
) -> tuple[str, ...]:
    """What the user should know where completeness is missed.

    Args:
        residual: what is missed of each target, if the method promises anything.
        blocks: the method's others.
        unit: of the scores.
        options: names of the method's options.
    """
    if residual is None:
        return ()
    scores = blocks["total" if "total" in blocks else "effect"].values
    difference = (scores.sum(-1) + residual.values).abs()
    bad = residual.values.abs() > torch.maximum(0.05 * difference, torch.tensor(0.01))
    if not bool(bad.any()):
        return ()
    worst = float(residual.values.abs().max())
    missed = f"completeness is missed by up to {worst:.2g} {unit}"
    more = "the model does something that the method's rules do not divide among its inputs"
    if "n_neighbors" in options:
        more = "its paths go from word to word, in steps that more of them do not make smaller"
    elif "n_steps" in options or "n_samples" in options:
        more = "more steps or samples help"
    elif "target_layer" in options:
        more = "the rest reaches the score by other ways than through that layer"
    return (f"{missed} in {int(bad.sum())} of {len(bad)} targets; {more}",)


def stitch(finished: Sequence[Blocks], tokens: int) -> Blocks:
    """Blocks of groups of targets as blocks of all of them, on the CPU in float32."""
    stitched: Blocks = {}
    for name in finished[0]:
        axes = finished[0][name].axes
        parts = [_widen(blocks[name], tokens) for blocks in finished]
        values = torch.cat(parts) if axes[0] == "target" else parts[0]
        wide = values.dtype if values.dtype == torch.float64 else torch.float32
        places = finished[0][name].places
        stitched[name] = Block(values.detach().to("cpu", wide), axes, places)
    return stitched


def _widen(block: Block, tokens: int) -> Tensor:
    """The block with zeros for the tokens that its group did not read."""
    if "token" not in block.axes:
        return block.values
    axis = block.axes.index("token")
    shape = list(block.values.shape)
    missing = tokens - shape[axis]
    if not missing:
        return block.values
    shape[axis] = missing
    return torch.cat([block.values, block.values.new_zeros(shape)], dim=axis)
