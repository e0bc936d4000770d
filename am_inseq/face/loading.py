"""`load_model`, and the classes of what it returns, with inseq's names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from am_inseq.core.specs import check_options
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.model import (
    AttributionModel,
    DecoderOnlyAttributionModel,
    EncoderDecoderAttributionModel,
)
from am_inseq.face.options import owners_of
from am_inseq.face.texts import move
from am_inseq.methods import METHODS
from am_inseq.models import huggingface, load
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.request import find_method

_OF_LOADING: Final = ("load_in_8bit", "load_in_4bit", "quantization_config", "device_map")


class HuggingfaceModel(AttributionModel):
    """One whose model is of transformers, as all are."""

    @staticmethod
    def load(*args: Any, **kwargs: Any) -> AttributionModel:
        """A model ready to be attributed; see `load_model`."""
        return load_model(*args, **kwargs)


class HuggingfaceEncoderDecoderModel(HuggingfaceModel, EncoderDecoderAttributionModel):
    """What `load_model` returns for a model with an encoder."""


class HuggingfaceDecoderOnlyModel(HuggingfaceModel, DecoderOnlyAttributionModel):
    """What `load_model` returns for a model without one."""


def load_model(
    model: str | PreTrainedModel,
    attribution_method: str | None = None,
    framework: str = "transformers",
    tokenizer: Any = None,
    device: str | torch.device | None = "auto",
    model_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    *,
    dtype: str = "auto",
    **method_options: Any,
) -> AttributionModel:
    """A model ready to be attributed.

    Args:
        model: "demo/en-fr", "demo/lm", a local folder, a hub id, or a loaded transformers model,
            which is put in evaluation mode with its parameters frozen.
        attribution_method: name of the method to use; it can also be given to `attribute`.
        framework: "transformers" (or "hf_transformers", as inseq calls it).
        tokenizer: the tokenizer, or its name; looked up by the model's name if not given.
        device: "cpu", "cuda:0", …; "auto" or None takes CUDA where it is, and leaves a loaded model
            where it is.
        model_kwargs: what transformers takes when it loads a model by name, e.g. device_map.
        tokenizer_kwargs: what it takes when it loads a tokenizer.
        dtype: "float32", "float64", "bfloat16" or "float16"; "auto": see
            `am_inseq.models.load.load_model`.
        method_options: options of the method, for every call that does not give its own.

    Raises:
        UnknownNameError: a method, option or demo model that does not exist.
        ModelNotFoundError: no such folder or hub id within reach.
        WeightsError: no safetensors, a corrupt file, or weights that are not numbers.
    """
    if framework not in ("transformers", "hf_transformers"):
        raise UnknownNameError("framework", framework, ("transformers",))
    _check_places(method_options)
    device = "auto" if device is None else str(device)
    _check_method(attribution_method, method_options)
    if isinstance(model, str):
        named: dict[str, Any] = {"model_kwargs": model_kwargs, "tokenizer_kwargs": tokenizer_kwargs}
        further: dict[str, Any] = {name: dict(given) for name, given in named.items() if given}
        loaded = load.load_model(model, device=device, dtype=dtype, **further)
        if tokenizer is not None:
            loaded = replace(loaded, tokenizer=_tokenizer(tokenizer, tokenizer_kwargs))
        return _faced(loaded, attribution_method, method_options)
    if dtype != "auto" or model_kwargs:
        raise InputError(
            "dtype and model_kwargs are for models that are loaded by name; convert a loaded model "
            "yourself before it is given"
        )
    place = load.pick_device(device)
    name = load.name_of(model)
    given = _tokenizer(tokenizer or name, tokenizer_kwargs)
    loaded = huggingface.wrap(model, given, name=name)
    if device != "auto" and not load.same_place(place, loaded.device):
        move(loaded, place)
    return _faced(loaded, attribution_method, method_options)


def _tokenizer(given: Any, options: Mapping[str, Any] | None) -> Any:
    if isinstance(given, str):
        return load.load_tokenizer(given, **(options or {}))
    if options:
        raise InputError("tokenizer_kwargs are for tokenizers that are loaded by name")
    return given


def _faced(
    loaded: HuggingFaceModel, method: str | None, options: Mapping[str, Any]
) -> AttributionModel:
    kind = HuggingfaceEncoderDecoderModel if loaded.has_encoder else HuggingfaceDecoderOnlyModel
    return kind(loaded, method, options)


def _check_method(name: str | None, options: Mapping[str, Any]) -> None:
    """Refuses a method that does not exist, and keywords that are neither its nor `load_model`'s.

    Raises:
        UnknownNameError: a name that nobody has.
        InputError: options of a method, and no method; or an option of the wrong type.
    """
    own = () if name is None else find_method(name).options
    loading = {*inspect.signature(load_model).parameters} - {"method_options"}
    known = {option.name for option in own} | loading
    for option in options:
        if option in known:
            continue
        owners = owners_of(option, METHODS)
        hint = f"{owners} have it; name one as attribution_method" if owners else None
        if option == "method":
            hint = "did you mean 'attribution_method'?"
        raise UnknownNameError("argument of load_model", option, known, hint)
    check_options(f"method {name!r}", own, options)


def _check_places(options: Mapping[str, Any]) -> None:
    """Refuses what belongs to the loading of a model among the options of its method."""
    misplaced = next((name for name in options if name in _OF_LOADING), None)
    if misplaced is not None:
        raise InputError(
            f"{misplaced} says how a model is loaded and is no option of a method; give it as "
            f"model_kwargs={{{misplaced!r}: {options[misplaced]!r}}}"
        )
