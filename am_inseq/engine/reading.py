"""What the network read, for scores that look at more than logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Never, TypeAlias

from jaxtyping import Int
from torch import Tensor

from am_inseq.core.model import Inputs, Model
from am_inseq.core.specs import ReadSide
from am_inseq.core.task import Task
from am_inseq.core.tokens import Side
from am_inseq.errors import MissingSiteError

SidesRead: TypeAlias = tuple[ReadSide, ReadSide | None]


def sides_read(model: Model, task: Task, inputs: Inputs) -> SidesRead:
    """What decoder and encoder read in one device batch; embeddings are in its graph.

    Args:
        model: embeds ids, and runs once more where hidden states are asked for.
        task: tells the ids of a batch of embeddings.
        inputs: the batch.
    """
    states = cache(lambda: model.states(inputs))
    cut, length = task.encoder, inputs.decoder.shape[1]
    own = task.ids[cut : cut + length]
    decoder = _side(model, inputs.decoder, own, "decoder", lambda: states()[0])
    if inputs.encoder is None:
        return decoder, None
    rows = len(inputs.decoder)
    wide = inputs.encoder.expand(rows, *inputs.encoder.shape[1:])

    def encoder_states() -> tuple[Tensor, ...]:
        return tuple(state.expand(rows, -1, -1) for state in states()[1])

    return decoder, _side(model, wide, task.ids[:cut], "encoder", encoder_states)


def _side(
    model: Model,
    given: Tensor,
    ids: Int[Tensor, " token"],
    side: Side,
    states: Callable[[], tuple[Tensor, ...]],
) -> ReadSide:
    if given.is_floating_point():
        return ReadSide(ids.expand(len(given), -1), lambda: given, states)

    def embeds() -> Tensor:
        flat = model.embed(given.flatten(), side)
        return flat.reshape(*given.shape, -1)

    return ReadSide(given, cache(embeds), states)


def sides_of(task: Task, rows: int) -> SidesRead:
    """The ids of the unchanged text in every row, for answers that do not tell what they ran."""
    cut, end = task.encoder, int(task.targets[-1])
    decoder = _untold(task.ids[cut:end], rows)
    return decoder, _untold(task.ids[:cut], rows) if cut else None


def _untold(ids: Int[Tensor, " token"], rows: int) -> ReadSide:
    def refuse() -> Never:
        raise MissingSiteError(
            "methods that look inside the network show a step function ids and logits, not "
            "embeddings or hidden states; use another method, for example saliency or occlusion"
        )

    return ReadSide(ids.expand(rows, -1), refuse, refuse)
