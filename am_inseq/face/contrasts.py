"""inseq's contrast keywords as fields of requests, one contrast for each text."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import torch

from am_inseq.core.specs import ScoreSpec
from am_inseq.errors import InputError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import end_trimmed
from am_inseq.models.text import encode

CONTRAST_NAMES: Final = (
    "contrast_targets",
    "contrast_sources",
    "contrast_targets_alignments",
    "contrast_force_inputs",
    "contrast_ids",
    "contrast_attention_mask",
)


def contrast_fields(
    loaded: HuggingFaceModel, texts: Sequence[Any], given: Mapping[str, Any], *, framed: bool = True
) -> list[dict[str, Any]]:
    """The contrast fields of each text's request.

    A decoder-only model's contrast target is the whole text. Where it begins with the input text,
    what follows is set against what follows the input; else it is read as it stands, and any of its
    tokens may be a partner.

    Args:
        loaded: the model.
        texts: what is attributed, texts or chats.
        given: keywords of `attribute`, of which those in `CONTRAST_NAMES` are read.
        framed: with the special tokens that the tokenizer puts around a text.

    Raises:
        InputError: as many contrasts as texts are needed, or a contrast source for a decoder-only
            model.
    """
    count = len(texts)
    targets = _one_for_each("contrast_targets", given.get("contrast_targets"), count)
    sources = _one_for_each("contrast_sources", given.get("contrast_sources"), count)
    if not loaded.has_encoder and given.get("contrast_sources") is not None:
        raise InputError(
            "contrast_sources are for encoder-decoder models; a decoder-only model's contrast "
            "prompt stands at the start of contrast_targets"
        )
    ids = _old_ids(given, count)
    alignments = _alignments(given.get("contrast_targets_alignments"), count)
    force = bool(given.get("contrast_force_inputs", False))
    fields: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        own: dict[str, Any] = {"contrast_alignment": alignments[index]}
        if force:
            own["contrast_force_inputs"] = True
        if ids is not None:
            own["contrast_ids"] = ids[index]
        if sources[index] is not None:
            own["contrast_prompt"] = sources[index]
        target = targets[index]
        if target is not None:
            own.update(_target(loaded, text, target, framed=framed))
        fields.append(own)
    return fields


def take_contrasts(given: dict[str, Any], scores: Sequence[ScoreSpec]) -> dict[str, Any]:
    """Takes the contrast's keywords out of `given`, but for those that a user's function names.

    Where no other score is contrastive these are the function's alone. As in inseq they may also
    stand in `attributed_fn_args` and in `step_scores_args`.

    Raises:
        InputError: one of them is given where nothing is contrastive.
    """
    _lift(given, scores)
    own = {option.name for score in scores for option in score.options}
    ours = any(score.needs_contrast for score in scores)
    taken: dict[str, Any] = {}
    for name in CONTRAST_NAMES:
        if name in given and (ours or name not in own):
            taken[name] = given[name] if name in own else given.pop(name)
    used = [name for name, value in taken.items() if value is not None and value is not False]
    if used and not ours:
        raise InputError(
            f"{used[0]} is for contrastive scores, and there is none among "
            f"{', '.join(score.name for score in scores)}; explain or record contrast_prob_diff, "
            "for example"
        )
    return taken


def _lift(given: dict[str, Any], scores: Sequence[ScoreSpec]) -> None:
    """Makes contrast keywords among the options of built-in scores keywords of the call."""
    if not any(score.needs_contrast for score in scores):
        return
    for where in ("attributed_fn_args", "step_scores_args"):
        options = given.get(where)
        if not isinstance(options, Mapping):
            continue
        found = cast("Mapping[str, Any]", options)
        named = {name: found[name] for name in CONTRAST_NAMES if name in found}
        given[where] = {name: value for name, value in found.items() if name not in named}
        given.update({name: value for name, value in named.items() if name not in given})


def _target(loaded: HuggingFaceModel, text: Any, whole: str, *, framed: bool) -> dict[str, Any]:
    if loaded.has_encoder or not isinstance(text, str):
        return {"contrast_target": whole}
    if whole.startswith(text):
        return {"contrast_target": whole[len(text) :]}
    tokens = end_trimmed(loaded, encode(loaded.tokenizer, whole, side="decoder", framed=framed))
    return {"contrast_ids": tuple(token.id for token in tokens)}


def _one_for_each(name: str, given: Any, count: int) -> list[str | None]:
    if given is None:
        return [None] * count
    many = [given] if isinstance(given, str) else given
    if not isinstance(many, list | tuple) or not all(isinstance(one, str) for one in many):
        raise InputError(f"{name} takes a text or a list of texts, not {type(given).__name__}")
    if len(many) != count:
        raise InputError(f"{name} has {len(many)} texts for {count} inputs; give one for each")
    return list(many)


def _old_ids(given: Mapping[str, Any], count: int) -> list[tuple[int, ...]] | None:
    """The contrast's ids as inseq before 0.5 took them, without what the mask leaves out."""
    if given.get("contrast_ids") is None:
        return None
    warnings.warn(
        "contrast_ids and contrast_attention_mask are deprecated; give the texts as "
        "contrast_targets",
        DeprecationWarning,
        stacklevel=4,
    )
    rows = torch.atleast_2d(torch.as_tensor(given["contrast_ids"]))
    mask = given.get("contrast_attention_mask")
    kept = torch.ones_like(rows) if mask is None else torch.atleast_2d(torch.as_tensor(mask))
    if len(rows) != count or kept.shape != rows.shape:
        raise InputError(
            f"contrast_ids has shape {list(rows.shape)} and its mask {list(kept.shape)} for "
            f"{count} inputs; give one row for each"
        )
    return [tuple(row[own.bool()].tolist()) for row, own in zip(rows, kept, strict=True)]


def _alignments(given: Any, count: int) -> list[Any]:
    """How each text's targets are paired: from the end, automatically, or by its own pairs."""
    if given is None or given in ("auto", "end", "start"):
        return [given or "end"] * count
    many: list[Any] = list(given) if isinstance(given, list | tuple) else []
    if many and all(_is_pair(one) for one in many):
        many = [many]
    if len(many) != count or not all(_are_pairs(one) for one in many):
        raise InputError(
            "contrast_targets_alignments takes 'auto', or pairs (target index, contrast index), "
            f"one list of them for each of the {count} inputs"
        )
    return [tuple(tuple(pair) for pair in pairs) for pairs in many]


def _are_pairs(given: Any) -> bool:
    return isinstance(given, list | tuple) and all(_is_pair(one) for one in cast("Any", given))


def _is_pair(given: Any) -> bool:
    if not isinstance(given, list | tuple):
        return False
    parts: list[Any] = list(cast("Any", given))
    return len(parts) == 2 and all(isinstance(part, int) for part in parts)
