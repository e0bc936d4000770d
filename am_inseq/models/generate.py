"""Free generation: ids in, ids out, never text in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from am_inseq.errors import InputError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.languages import target_language
from am_inseq.models.sequence import start_id


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """What a model wrote behind one prompt.

    Attributes:
        sequences: ids of every returned sequence, the prefix that was given and an end token that
            the model gave included, without the decoder's start token and without padding.
        output: what transformers returned.
    """

    sequences: list[list[int]]
    output: Any


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
    prefix: Sequence[int] = (),
    options: Mapping[str, Any] | None = None,
    on_ids: Callable[[list[int]], None] = lambda _ids: None,
) -> Generated:
    """What the model continues `prompt` with.

    Args:
        model: the model.
        prompt: ids that the encoder, or the decoder where there is none, reads.
        max_new_tokens: at most so many beyond the prefix; `max_length` among the options bounds
            them too, as in transformers.
        prefix: ids that every sequence begins with.
        options: what `transformers` calls generation arguments, never changed; greedy unless they
            say otherwise; "seed": makes sampling repeatable.
        on_ids: called after each token with the ids so far; may raise to stop.

    Raises:
        InputError: transformers refuses the arguments, or they leave no room for a token.
    """
    network = model.network
    chosen: dict[str, Any] = {"do_sample": False, "num_beams": 1, **written_out(options or {})}
    seed = chosen.pop("seed", None)
    most = _most(chosen, max_new_tokens, len(prefix) + (1 if model.has_encoder else len(prompt)))
    if not chosen["do_sample"]:
        chosen = {"temperature": None, "top_p": None, "top_k": None, **chosen}
    if network.generation_config.pad_token_id is None:
        eos = network.generation_config.eos_token_id
        chosen.setdefault("pad_token_id", eos[0] if isinstance(eos, list) else eos)
    if model.has_encoder:
        chosen = {**_language(model), **chosen}
    read = [*prompt] if model.has_encoder else [*prompt, *prefix]
    ids = torch.tensor([read], device=network.device)
    start = 1 if model.has_encoder else len(prompt)
    if model.has_encoder and prefix:
        begun = [start_id(model), *prefix]
        chosen["decoder_input_ids"] = torch.tensor([begun], device=network.device)
    if (chosen["num_beams"] or 1) == 1:
        given = chosen.get("stopping_criteria") or ()
        chosen["stopping_criteria"] = StoppingCriteriaList([*given, _Watch(start, on_ids)])
    if chosen.get("stop_strings"):
        chosen.setdefault("tokenizer", model.tokenizer)  # transformers finds the strings by it
    else:
        chosen.pop("stop_strings", None)
    fixed = {"attention_mask": torch.ones_like(ids), "max_new_tokens": most, "max_length": None}
    try:
        with torch.no_grad(), _seeded(seed, ids):
            output = network.generate(ids, **{**chosen, **fixed})
    except (TypeError, ValueError) as error:
        said = str(error).splitlines()[0][:200]
        raise InputError(f"the model cannot generate with these arguments ({said})") from error
    rows: Tensor = output if isinstance(output, Tensor) else output.sequences
    written: list[list[int]] = rows[:, start:].tolist()
    if len(written) == 1:
        return Generated(written, output)
    return Generated([_ended(network, row, len(prefix), chosen) for row in written], output)


def written_out(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with what a `generation_config` among them says as options of their own.

    Options that stand beside it win over it, as in transformers.
    """
    own = dict(options)
    config = own.pop("generation_config", None)
    if config is None:
        return own
    stated: dict[str, Any] = config.to_diff_dict()
    said = {name: value for name, value in stated.items() if name != "transformers_version"}
    return {**said, **own}


def _language(model: HuggingFaceModel) -> dict[str, int]:
    """What makes the model write in the language that its tokenizer was told."""
    language = target_language(model.tokenizer)
    if language is None:
        return {}
    return {"forced_bos_token_id" if language.leads else "decoder_start_token_id": language.id}


def _most(chosen: dict[str, Any], max_new_tokens: int, read: int) -> int:
    """How many tokens may be generated; takes its bounds out of `chosen`."""
    most = chosen.pop("max_new_tokens", None) or max_new_tokens
    longest = chosen.pop("max_length", None)
    if longest is not None and longest <= read:
        raise InputError(
            f"max_length of {longest} leaves no room behind {read} tokens; raise it, or give "
            "max_new_tokens"
        )
    return most if longest is None else min(most, longest - read)


@contextlib.contextmanager
def _seeded(seed: int | None, ids: Tensor) -> Generator[None]:
    """Inside, random numbers come from `seed`; outside, from where they did."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[ids.device] if ids.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _ended(network: Any, row: list[int], prefix: int, chosen: Mapping[str, Any]) -> list[int]:
    """One of several rows up to its end token; what follows pads it to the longest."""
    named = chosen.get("eos_token_id", network.generation_config.eos_token_id)
    ends = set(named) if isinstance(named, list | tuple) else {named}
    for place in range(prefix, len(row)):
        if row[place] in ends:
            return row[: place + 1]
    padding = chosen.get("pad_token_id", network.generation_config.pad_token_id)
    end = len(row)
    while end > prefix + 1 and row[end - 1] == padding:
        end -= 1
    return row[:end]
