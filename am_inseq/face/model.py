"""`load_model` and `AttributionModel`, with inseq's names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from am_inseq.attribute import Listener, Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.errors import InputError, TargetError, UnknownNameError
from am_inseq.face.output import FeatureAttributionOutput, make_output
from am_inseq.methods import METHODS
from am_inseq.models import huggingface, load
from am_inseq.models.generate import generate
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.sequence import read_prompt
from am_inseq.render.progress import Report, progress_bar
from am_inseq.scores import SCORES


class _Bar(Listener):
    """Forwards one text's progress to the bar."""

    def __init__(self, index: int, report: Report) -> None:
        self._index, self._report = index, report

    def on_progress(self, stage: str, done: int, total: int) -> None:
        self._report(self._index, stage, done, total)


_OWN_NAMES = ("contrast_targets", "internal_batch_size")


class AttributionModel(nn.Module):
    """A language model and the attribution method to use on it."""

    def __init__(self, loaded: HuggingFaceModel, attribution_method: str | None) -> None:
        super().__init__()
        if attribution_method is not None and attribution_method not in METHODS:
            raise UnknownNameError("method", attribution_method, METHODS)
        self.model = loaded.network
        self.tokenizer = loaded.tokenizer
        self.loaded = loaded
        self.attribution_method = attribution_method

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self.loaded.device

    def generate(self, input_texts: str | Sequence[str], **generation_args: Any) -> list[str]:
        """What the model writes for each text; a decoder-only model's include the text itself."""
        texts = [input_texts] if isinstance(input_texts, str) else list(input_texts)
        written: list[str] = []
        for text in texts:
            ids = [token.id for token in read_prompt(self.loaded, text)]
            options, most = self._generation(generation_args)
            with self.loaded.lock:
                new = generate(self.loaded, ids, max_new_tokens=most, options=options)
            whole = new if self.loaded.has_encoder else [*ids, *new]
            written.append(self.decode(whole))
        return written

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of `ids`."""
        return self.tokenizer.decode(
            list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )

    def encode(self, texts: str | Sequence[str]) -> Any:
        """The ids of `texts`, as transformers gives them."""
        return self.tokenizer(texts)

    def attribute(
        self,
        input_texts: str | Sequence[str],
        generated_texts: str | Sequence[str] | None = None,
        method: str | None = None,
        *,
        attr_pos_start: int | None = None,
        attr_pos_end: int | None = None,
        show_progress: bool = True,
        attribute_target: bool = False,
        step_scores: str | Sequence[str] = (),
        include_eos_baseline: bool = False,
        attributed_fn: str | None = None,
        batch_size: int | None = None,
        generation_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> FeatureAttributionOutput:
        """Generates a continuation of each text, or takes yours, and attributes it.

        Args:
            input_texts: prompts, or source texts of an encoder-decoder.
            generated_texts: what to attribute instead of a generated continuation; for a
                decoder-only model each must begin with its input text.
            method: another method for this call.
            attr_pos_start: first attributed index in the decoder's tokens.
            attr_pos_end: one past the last; negative counts from the end.
            show_progress: draw a progress bar on standard error.
            attribute_target: score the target side of an encoder-decoder too; a decoder-only
                model's always is.
            step_scores: names of scores to record for each generated token.
            include_eos_baseline: let the baseline replace end tokens too.
            attributed_fn: name of the explained score; "probability" by default.
            batch_size: taken for inseq's sake; scores never depend on it.
            generation_args: generation arguments of transformers.
            kwargs: options of the method, the attributed function and the step scores, by name;
                `contrast_targets`: one text for each input.

        Returns:
            one sequence output for each text.

        Raises:
            UnknownNameError: a method, score or option that does not exist.
            TargetError: a generated text that does not begin with its input.
        """
        del batch_size  # every text is its own batch: nothing of one can reach another
        started = time.perf_counter()
        texts = _texts("input_texts", input_texts)
        if isinstance(step_scores, str):
            step_scores = [step_scores]
        forced = _one_for_each(texts, generated_texts, "generated_texts")
        contrasts = _one_for_each(texts, kwargs.pop("contrast_targets", None), "contrast_targets")
        name = method or self.attribution_method
        if name is None:
            raise InputError(
                "no attribution method was chosen; give one to load_model or as method="
            )
        score = attributed_fn or "probability"
        routed = route(kwargs, name, score, step_scores)
        options, most = self._generation(generation_args or {})
        results: list[Attribution] = []
        with progress_bar(len(texts), enabled=show_progress) as report:
            for index, text in enumerate(texts):
                request = Request(
                    prompt=text,
                    target=_continuation(self.loaded, text, forced[index]),
                    contrast_target=_continuation(self.loaded, text, contrasts[index]),
                    contrast_alignment="end",
                    method=name,
                    score=score,
                    step_scores=tuple(step_scores),
                    max_new_tokens=most,
                    generation=options,
                    attribute_target=attribute_target or not self.loaded.has_encoder,
                    include_eos_baseline=include_eos_baseline,
                    keep_hidden=True,
                    positions=(attr_pos_start, attr_pos_end),
                    **routed,
                )
                results.append(attribute(self.loaded, request, _Bar(index, report)))
        info = {
            "attribution_method": name,
            "attr_pos_start": attr_pos_start,
            "attr_pos_end": attr_pos_end,
            "attribute_target": attribute_target,
            "step_scores": list(step_scores),
            "exec_time": time.perf_counter() - started,
            "model_name": self.loaded.name,
            "model_class": type(self.model).__name__,
            "tokenizer_name": self.tokenizer.name_or_path,
            "tokenizer_class": type(self.tokenizer).__name__,
            "include_eos_baseline": include_eos_baseline,
            "attributed_fn": score,
            "attribution_args": dict(routed["options"]),
            "attributed_fn_args": dict(routed["score_options"]),
            "step_scores_args": dict(routed["step_score_options"]),
            "input_texts": texts,
            "generated_texts": [_generated(self.loaded, result) for result in results],
            "generation_args": dict(generation_args or {}),
            "constrained_decoding": generated_texts is not None,
        }
        with_target = attribute_target or not self.loaded.has_encoder
        return make_output(results, info, with_target=with_target)

    def _generation(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Generation options and the largest number of new tokens, the model's own by default."""
        config = self.model.generation_config
        options: dict[str, Any] = {
            "do_sample": bool(config.do_sample),
            "num_beams": config.num_beams or 1,
            **given,
        }
        fallback = 256 if self.loaded.has_encoder else 24
        most = options.pop("max_new_tokens", None) or config.max_new_tokens or fallback
        return options, int(most)


def _generated(loaded: HuggingFaceModel, result: Attribution) -> str:
    return result.continuation if loaded.has_encoder else result.prompt + result.continuation


def _texts(name: str, given: Any) -> list[str]:
    """One text or several as a list of at least one.

    Raises:
        InputError: it is something else.
    """
    many = [given] if isinstance(given, str) else given
    if not isinstance(many, list | tuple) or not all(isinstance(one, str) for one in many):
        raise InputError(f"{name} takes a text or a list of texts, not {type(given).__name__}")
    if not many:
        raise InputError(f"{name} is empty; give at least one text")
    return list(many)


def _one_for_each(
    texts: list[str], given: str | Sequence[str] | None, name: str
) -> list[str | None]:
    if given is None:
        return [None] * len(texts)
    many = _texts(name, given)
    if len(many) != len(texts):
        raise InputError(f"{name} has {len(many)} texts for {len(texts)} inputs; give one for each")
    return list(many)


def _continuation(loaded: HuggingFaceModel, text: str, whole: str | None) -> str | None:
    """What follows the prompt; inseq gives a decoder-only model's text whole."""
    if whole is None or loaded.has_encoder:
        return whole
    if not whole.startswith(text):
        raise TargetError(
            f"the target does not follow the prompt: {whole[:40]!r} does not begin with "
            f"{text[:40]!r}; give the prompt and its continuation as one text"
        )
    return whole[len(text) :]


def route(
    given: Mapping[str, Any], method: str, score: str, step_scores: Sequence[str]
) -> dict[str, Any]:
    """Options by where they go; one may go to several, as in inseq.

    Raises:
        UnknownNameError: an option that nobody takes, or a method or score that does not exist.
    """
    for kind, names, table in (
        ("method", [method], METHODS),
        ("score", [score, *step_scores], SCORES),
    ):
        for name in names:
            if name not in table:
                raise UnknownNameError(kind, name, table)
    takers = {
        "options": {o.name for o in METHODS[method].options},
        "score_options": {o.name for o in SCORES[score].options},
    }
    recorded = {name: {o.name for o in SCORES[name].options} for name in step_scores}
    known = set().union(*takers.values(), *recorded.values(), _OWN_NAMES)
    for name in given:
        if name not in known:
            raise UnknownNameError("option", name, known)
    plain = {k: v for k, v in given.items() if k != "internal_batch_size"}
    return {
        **{
            where: {k: v for k, v in plain.items() if k in names} for where, names in takers.items()
        },
        "step_score_options": {
            name: {k: v for k, v in plain.items() if k in names} for name, names in recorded.items()
        },
    }


def load_model(
    model: str | PreTrainedModel,
    attribution_method: str | None = None,
    *,
    tokenizer: Any = None,
    device: str = "auto",
    dtype: str = "auto",
) -> AttributionModel:
    """A model ready to be attributed.

    Args:
        model: "demo/en-fr", "demo/lm", a local folder, a hub id, or a loaded transformers model,
            which is put in evaluation mode with its parameters frozen.
        attribution_method: name of the method to use; it can also be given to `attribute`.
        tokenizer: the tokenizer of a loaded model; looked up by the model's name if not given.
        device: "cpu", "cuda:0", …; "auto" takes CUDA where it is.
        dtype: "float32", "float64", "bfloat16" or "float16"; "auto": see
            `am_inseq.load.load_model`.

    Raises:
        UnknownNameError: a method or demo model that does not exist.
        ModelNotFoundError: no such folder or hub id within reach.
        WeightsError: no safetensors, a corrupt file, or weights that are not numbers.
    """
    if attribution_method is not None and attribution_method not in METHODS:
        raise UnknownNameError("method", attribution_method, METHODS)
    if isinstance(model, str):
        return AttributionModel(
            load.load_model(model, device=device, dtype=dtype), attribution_method
        )
    if (device, dtype) != ("auto", "auto"):
        raise InputError(
            "device and dtype are for models that are loaded by name; move or convert a loaded "
            "model yourself before it is given"
        )
    name = str(model.config.name_or_path or type(model).__name__)
    if tokenizer is None or isinstance(tokenizer, str):
        tokenizer = load.load_tokenizer(tokenizer or name)
    loaded = huggingface.wrap(model, tokenizer, name=name)
    return AttributionModel(loaded, attribution_method)
