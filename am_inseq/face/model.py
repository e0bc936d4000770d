"""`AttributionModel`, with inseq's names."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import nn

from am_inseq.attribute import Listener, Request, attribute_each
from am_inseq.core.attribution import Attribution
from am_inseq.core.specs import MethodSpec, ScoreSpec, check_options
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError
from am_inseq.face.contrasts import CONTRAST_NAMES, contrast_fields, take_contrasts
from am_inseq.face.functions import Function, score_of, scores_of
from am_inseq.face.inputs import Chat, Given, ids_for_each, one_for_each, prompts_of, spans_for_each
from am_inseq.face.made import make_output
from am_inseq.face.options import route
from am_inseq.face.output import FeatureAttributionOutput
from am_inseq.face.texts import TextMembers, move, stays
from am_inseq.models import load
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.render.progress import Report, progress_bar
from am_inseq.request import find_method

_OWN_NAMES: Final = (*CONTRAST_NAMES, "internal_batch_size")
_STAYS: Final = (
    "device was not used: the model is quantised or spread over several devices and stays where it "
    "is; load it again with another device_map"
)
_UNUSED: Final = "generation_args were not used: what follows the input was given"


class _Bar(Listener):
    """Forwards one text's progress to the bar."""

    def __init__(self, index: int, report: Report) -> None:
        self._index, self._report = index, report

    def on_progress(self, stage: str, done: int, total: int) -> None:
        self._report(self._index, stage, done, total)


class AttributionModel(TextMembers, nn.Module):
    """A language model and the attribution method to use on it.

    Attributes:
        model: the transformers model.
        tokenizer: its tokenizer.
        loaded: both, as the rest of the library sees them.
        attribution_method: the method that `attribute` uses if it is given none.
        method_options: options of that method, wherever a call does not give its own.
        default_attributed_fn_id: name of the score that `attribute` explains if it is given none.
    """

    def __init__(
        self,
        loaded: HuggingFaceModel,
        attribution_method: str | None,
        method_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.attribution_method = attribution_method
        self.method_options = dict(method_options or {})
        self.default_attributed_fn_id = "probability"
        if attribution_method is not None:
            options = find_method(attribution_method).options
            check_options(f"method {attribution_method!r}", options, self.method_options)
        self.model = loaded.network
        self.tokenizer = loaded.tokenizer
        self.loaded = loaded

    def get_attribution_method(
        self,
        method: str | MethodSpec | None = None,
        override_default_attribution: bool = False,
    ) -> tuple[MethodSpec, dict[str, Any]]:
        """The method of that name, or the model's own, and the options it was loaded with.

        Args:
            method: a name, a method of your own, or None for the model's.
            override_default_attribution: make it the model's, without options.

        Raises:
            InputError: none is named and the model has none.
            UnknownNameError: a method that does not exist.
        """
        chosen = method or self.attribution_method
        if chosen is None:
            raise InputError(
                "no attribution method was chosen; give one to load_model or as method="
            )
        spec = find_method(chosen) if isinstance(chosen, str) else chosen
        if method is not None and override_default_attribution:
            self.attribution_method, self.method_options = spec.name, {}
        return spec, {} if method is not None else dict(self.method_options)

    def attribute(
        self,
        input_texts: str | Chat | Sequence[str | Chat],
        generated_texts: str | Sequence[str] | None = None,
        method: str | MethodSpec | None = None,
        override_default_attribution: bool = False,
        attr_pos_start: int | None = None,
        attr_pos_end: int | None = None,
        show_progress: bool = True,
        pretty_progress: bool = True,
        output_step_attributions: bool = False,
        attribute_target: bool = False,
        step_scores: str | ScoreSpec | Function | Sequence[str | ScoreSpec | Function] = (),
        include_eos_baseline: bool = False,
        attributed_fn: str | ScoreSpec | Function | None = None,
        device: str | torch.device | None = None,
        batch_size: int | None = None,
        generate_from_target_prefix: bool = False,
        skip_special_tokens: bool = False,
        clean_special_chars: bool = False,
        generation_args: Mapping[str, Any] | None = None,
        *,
        target_ids: Any = None,
        spans: Sequence[tuple[int, int] | Sequence[tuple[int, int]]] | None = None,
        text_spans: Sequence[tuple[int, int] | str | Sequence[tuple[int, int] | str]] | None = None,
        **kwargs: Any,
    ) -> FeatureAttributionOutput:
        """Generates a continuation of each input, or takes yours, and attributes it.

        Args:
            input_texts: prompts, or source texts of an encoder-decoder; chats as lists of messages
                with a "role" and a "content". An empty text stands for a decoder-only model's start
                token.
            generated_texts: what to attribute instead of a generated continuation; for a
                decoder-only model each must begin with its input text, for a chat it is the answer.
            method: another method for this call.
            override_default_attribution: keep that method for later calls.
            attr_pos_start: first attributed index in the decoder's tokens; negative counts from the
                end.
            attr_pos_end: one past the last; negative counts from the end, beyond it means the end.
            show_progress: draw a progress bar on standard error.
            pretty_progress: a bar for each stage of a text too; else one bar, without colours.
            output_step_attributions: also give one object for each attributed token, in
                `step_attributions`.
            attribute_target: score the target side of an encoder-decoder too; a decoder-only
                model's always is.
            step_scores: names of scores to record for each generated token, or step functions.
            include_eos_baseline: let the baseline replace end tokens too.
            attributed_fn: name of the explained score, or a step function of your own, see
                `register_step_function`; None: `default_attributed_fn_id`, "probability" at first.
            device: where to run this call; the model goes back afterwards. One that is quantised or
                spread over several devices stays where it is, which the diagnostics say.
            batch_size: taken for inseq's sake; scores never depend on it.
            generate_from_target_prefix: let the model go on from `generated_texts`.
            skip_special_tokens: leave out the special tokens that the tokenizer puts around texts.
            clean_special_chars: label tokens by the text they stand for, not by the vocabulary's
                spelling.
            generation_args: generation arguments of transformers, and `seed`; every returned
                sequence is attributed on its own.
            target_ids: what to attribute as token ids, one list for each input.
            spans: ranges of the generated tokens that are one target each, whose explained score is
                the sum of its tokens' scores and whose recorded ones are merged, probabilities as
                a product; for several inputs also a list of them for each.
            text_spans: the same as ranges of characters of the generated text, or stretches of it.
            kwargs: options of the method, the attributed function and the step scores, by name, or
                in `attribution_args`, `attributed_fn_args` and `step_scores_args`;
                `internal_batch_size`: at most so many variants of the input in one pass. For
                contrastive scores, one for each input: `contrast_targets`, the target side of the
                contrast, of a decoder-only model with its prompt; `contrast_sources`, another
                source of an encoder-decoder; `contrast_targets_alignments`, pairs (target index,
                contrast index) or "auto", the rest from the end; `contrast_force_inputs`, run the
                contrast for the explained score too, as a constant.

        Returns:
            one sequence output for each text, or for each sequence that was generated. Its
            `source_attributions` are [source token, generated token, …] and `target_attributions`
            [target token, generated token, …], NaN from the generated token on; further axes are
            hidden units of gradient methods, layers and heads. Each `step_scores` entry is
            [generated token]. `attribution` is the same with named axes, the unit of the scores
            (that of the explained score for methods that sum to it) and diagnostics.

        Raises:
            UnknownNameError: a method, score or option that does not exist.
            TargetError: a generated text that does not begin with its input, or ids, positions or
                spans outside.
            TextTooLongError: more tokens than the model reads.
            InputError: any other keyword that cannot be met; the sentence names the fix.
            NotDifferentiableError: a gradient method on a score without gradient.
            UnsupportedError: what this model or method cannot do.
            GuardError: what would be explained has other probabilities than the model's own.
        """
        started = time.perf_counter()
        prompts = prompts_of("input_texts", input_texts)
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        if generate_from_target_prefix and generated_texts is None:
            raise InputError("generate_from_target_prefix goes on from generated_texts; give them")
        score = score_of(attributed_fn or self.default_attributed_fn_id, self)
        recorded = scores_of(step_scores, self)
        contrasts = take_contrasts(kwargs, (score, *recorded))
        given = Given(
            forced=one_for_each(len(prompts), generated_texts, "generated_texts"),
            goes_on=generate_from_target_prefix,
            ids=ids_for_each(len(prompts), target_ids),
            spans=spans_for_each(len(prompts), spans),
            text_spans=spans_for_each(len(prompts), text_spans),
            contrasts=contrast_fields(
                self.loaded, prompts, contrasts, framed=not skip_special_tokens
            ),
        )
        budget = _budget(kwargs.pop("internal_batch_size", None))
        spec, options = self.get_attribution_method(method)
        routed = route(kwargs, spec, score, recorded, _own_names())
        routed["options"] = {**options, **routed["options"]}
        self.get_attribution_method(method, override_default_attribution)
        generation, most = self.generation(generation_args or {})
        shared: dict[str, Any] = {
            "method": spec,
            "score": score,
            "step_scores": recorded,
            "max_new_tokens": most,
            "generation": generation,
            "from_nothing": True,
            "special_tokens": not skip_special_tokens,
            "attribute_target": attribute_target or not self.loaded.has_encoder,
            "include_eos_baseline": include_eos_baseline,
            "keep_hidden": True,
            "positions": (attr_pos_start, attr_pos_end),
            "budget": budget,
            **routed,
        }
        requests = [
            Request(**given.request(self.loaded, index, prompt), **shared)
            for index, prompt in enumerate(prompts)
        ]
        results = self._run(requests, device, bars=(show_progress, pretty_progress))
        if given.is_whole and generation_args:
            results = [_told(one, _UNUSED) for one in results]
        info = {
            "attribution_method": spec.name,
            "attr_pos_start": attr_pos_start,
            "attr_pos_end": attr_pos_end,
            "output_step_attributions": output_step_attributions,
            "attribute_target": attribute_target,
            "step_scores": [one.name for one in recorded],
            "exec_time": time.perf_counter() - started,
            **self.info,
            "include_eos_baseline": include_eos_baseline,
            "attributed_fn": score.name,
            "attribution_args": dict(routed["options"]),
            "attributed_fn_args": dict(routed["score_options"]),
            "step_scores_args": dict(routed["step_score_options"]),
            "input_texts": [one.prompt for one in results],
            "generated_texts": [_generated(self.loaded, result) for result in results],
            "generation_args": dict(generation_args or {}),
            "constrained_decoding": given.is_whole,
            "generate_from_target_prefix": generate_from_target_prefix,
        }
        return make_output(
            results,
            info,
            with_target=attribute_target or not self.loaded.has_encoder,
            readable=clean_special_chars,
            with_steps=output_step_attributions,
        )

    def _run(
        self,
        requests: Sequence[Request],
        device: str | torch.device | None,
        *,
        bars: tuple[bool, bool],
    ) -> list[Attribution]:
        """One attribution for each continuation of each request."""
        bar = progress_bar(len(requests), enabled=bars[0], pretty=bars[1])
        with self._placed(device) as told, bar as report:
            found = [
                one
                for index, request in enumerate(requests)
                for one in attribute_each(self.loaded, request, _Bar(index, report))
            ]
        return found if told is None else [_told(one, told) for one in found]

    @contextlib.contextmanager
    def _placed(self, device: str | torch.device | None) -> Generator[str | None]:
        """Inside, the model is on that device, for this thread alone; else a sentence why not."""
        if device is None:
            yield None
            return
        with self.loaded.lock:
            before, place = self.loaded.device, load.pick_device(device)
            if load.same_place(place, before):
                yield None
            elif stays(self.loaded):
                yield _STAYS
            else:
                move(self.loaded, place)
                try:
                    yield None
                finally:
                    move(self.loaded, before)


class EncoderDecoderAttributionModel(AttributionModel):
    """One whose model has an encoder."""


class DecoderOnlyAttributionModel(AttributionModel):
    """One whose model has none."""


def _own_names() -> set[str]:
    """Keywords that are taken before options are told apart."""
    named = inspect.signature(AttributionModel.attribute).parameters
    return {*named, *_OWN_NAMES} - {"self", "kwargs"}


def _budget(rows: Any) -> Budget:
    if rows is None:
        return Budget()
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise InputError(f"internal_batch_size must be a whole number of at least 1, not {rows!r}")
    return Budget(most_rows=rows)


def _told(attribution: Attribution, sentence: str) -> Attribution:
    diagnostics = attribution.diagnostics
    told = replace(diagnostics, warnings=(*diagnostics.warnings, sentence))
    return replace(attribution, diagnostics=told)


def _generated(loaded: HuggingFaceModel, result: Attribution) -> str:
    return result.continuation if loaded.has_encoder else result.prompt + result.continuation
