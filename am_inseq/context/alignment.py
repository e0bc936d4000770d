"""Where an output context ends, by what each word of the output was made of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from am_inseq.attribute import attribute
from am_inseq.context.template import Range
from am_inseq.context.texts import Written
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.prepare import Prompt
from am_inseq.request import Request


def aligned_point(
    model: HuggingFaceModel,
    prompt: Prompt,
    context: Collection[int],
    written: Written,
    place: Range,
) -> int | None:
    """The character of `place` before which the words were made of the context rather.

    Of the saliency that each word gives to the input, the share of the context's tokens is taken;
    the output is cut where the shares before and the rest behind add up to the most. Nothing is
    downloaded. One forward and one backward for all words.

    Args:
        model: the model.
        prompt: the input.
        context: which of its tokens are the context's.
        written: what the model wrote.
        place: the part of it to cut.

    Returns:
        a character from the beginning of `place`; None where there is but one word.
    """
    request = Request(
        prompt=prompt.text,
        special_tokens=prompt.framed,
        target_ids=written.ids,
        method="saliency",
        score="log_probability",
    )
    values = attribute(model, request).values
    inside = list(context)
    others = [
        index
        for index, token in enumerate(prompt.tokens)
        if token.part != "special" and index not in set(inside)
    ]
    ours, rest = values[:, inside].mean(1), values[:, others].mean(1)
    shares = torch.nan_to_num(ours / (ours + rest), nan=0.5).tolist()
    return best_point(shares, written, place)


def best_point(shares: Sequence[float], written: Written, place: Range) -> int | None:
    """Where to cut, given each token's share; see `aligned_point`."""
    start, end = place
    starts = [
        (index, own[0] + len(piece) - len(piece.lstrip()))
        for index, own in enumerate(written.places)
        if own is not None and start < own[1] and own[0] < end
        for piece in (written.text[slice(*own)],)
        if piece.strip() and (piece[0].isspace() or written.text[: own[0]][-1:].isspace())
    ]
    cuts = [(index, point) for index, point in starts if start < point < end]
    if not cuts:
        return None
    gains = [sum(shares[:index]) + sum(1 - share for share in shares[index:]) for index, _ in cuts]
    return cuts[gains.index(max(gains))][1] - start
