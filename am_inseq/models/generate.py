"""Free generation: ids in, ids out, never text in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from am_inseq.models.huggingface import HuggingFaceModel


class _Watch(StoppingCriteria):
    """Tells what has been generated after each token; never stops by itself."""

    def __init__(self, start: int, on_ids: Callable[[list[int]], None]) -> None:
        self._start = start
        self._on_ids = on_ids

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        self._on_ids(input_ids[0, self._start :].tolist())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def generate(
    model: HuggingFaceModel,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    options: Mapping[str, Any] | None = None,
    on_ids: Callable[[list[int]], None] = lambda _ids: None,
) -> list[int]:
    """The ids that the model continues `prompt` with, without the decoder's start token.

    Args:
        model: the model.
        prompt: ids that the encoder, or the decoder where there is none, reads.
        max_new_tokens: at most so many.
        options: what `transformers` calls generation arguments; greedy unless they say otherwise.
        on_ids: called after each token with the ids so far; may raise to stop.

    Returns:
        the generated ids, an end token included where the model gave one.
    """
    network = model.network
    ids = torch.tensor([list(prompt)], device=network.device)
    start = 1 if model.has_encoder else len(prompt)
    chosen: dict[str, Any] = {"do_sample": False, "num_beams": 1, **(options or {})}
    if not chosen["do_sample"]:
        chosen = {"temperature": None, "top_p": None, "top_k": None, **chosen}
    if network.generation_config.pad_token_id is None:
        eos = network.generation_config.eos_token_id
        chosen.setdefault("pad_token_id", eos[0] if isinstance(eos, list) else eos)
    if chosen["num_beams"] == 1:
        chosen["stopping_criteria"] = StoppingCriteriaList([_Watch(start, on_ids)])
    with torch.no_grad():
        out = network.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            max_length=None,
            **chosen,
        )
    return out[0, start:].tolist()
