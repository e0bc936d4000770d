"""Finding and loading models: demo models, local folders, hub ids."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from am_inseq.core.names import DEMO_MODELS, DEMO_PREFIX
from am_inseq.errors import (
    InputError,
    ModelNotFoundError,
    UnknownNameError,
    UnsupportedError,
    WeightsError,
)
from am_inseq.models.arguments import SHARED, read_arguments
from am_inseq.models.huggingface import HuggingFaceModel, wrap
from am_inseq.models.revision import revision_of

logger = logging.getLogger(__name__)

DOWNLOAD: Final = "AM_INSEQ_DOWNLOAD"
_TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "source.spm",
    "vocab.json",
    "vocab.txt",
)


def load_model(
    name: str,
    *,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
) -> HuggingFaceModel:
    """The model called `name`, its parameters frozen.

    Args:
        name: "demo/lm", "demo/en-fr", a local folder in Hugging Face layout, or a hub id.
        device: "cpu", "cuda:0", "mps", …; "auto" takes CUDA where it is, else the CPU.
        dtype: "float32", "float64", "bfloat16" or "float16", or torch's own types; "auto" is
            float32 on the CPU, the checkpoint's own type elsewhere. Whatever it is, scores are
            accumulated in at least float32.
        revision: branch, tag or commit of a hub id.
        model_kwargs: what transformers' `from_pretrained` of models takes besides: `device_map`,
            `load_in_8bit`, `load_in_4bit`, `quantization_config`, `attn_implementation`,
            `trust_remote_code`, …
        tokenizer_kwargs: what that of tokenizers takes, for example `src_lang` and `tgt_lang` of
            multilingual translation models.

    Raises:
        UnknownNameError: a demo model or number type that does not exist.
        InputError: arguments that contradict each other or that transformers does not know.
        ModelNotFoundError: no such folder, and no such hub id within reach.
        WeightsError: no safetensors, a corrupt file, or weights that are not numbers.
        UnsupportedError: not a language model that generates, or a package or device is missing.
    """
    given = read_arguments(name, device, dtype, revision, model_kwargs)
    is_demo = name.startswith(DEMO_PREFIX)
    source = _locate(name)
    place = pick_device(device)
    chosen: Any = given.dtype or (torch.float32 if place == "cpu" else "auto")
    if place.startswith("mps") and chosen is torch.float64:
        raise UnsupportedError("MPS has no float64; use float32, or the device cpu")
    placed = given.placed_on(place)
    network, tokenizer = _read(name, source, {**placed, "dtype": chosen}, tokenizer_kwargs or {})
    if not (given.is_placed or getattr(network, "is_quantized", False)):
        network.to(place)
    _check_numbers(name, network)
    loaded = wrap(network, tokenizer, name=name, is_demo=is_demo)
    return replace(loaded, revision=revision_of(source, network))


def pick_device(name: str | torch.device | None) -> str:
    """The device that "auto" or None stands for, or the one named."""
    name = "auto" if name is None else str(name)
    if name != "auto":
        try:
            torch.device(name)
        except RuntimeError as error:
            raise UnknownNameError("device", name, ("cpu", "cuda", "cuda:0", "mps")) from error
        kind, _, number = name.partition(":")
        if kind not in {"cpu", "cuda", "mps"} or (number and kind != "cuda"):
            raise UnknownNameError("device", name, ("cpu", "cuda", "cuda:0", "mps"))
        if kind == "cuda" and not torch.cuda.is_available():
            raise UnsupportedError(
                "no CUDA device can be used here: there is none, or torch is a CPU build; use the "
                "device cpu, or install a CUDA build (make install TORCH_INDEX=…)"
            )
        if kind == "mps" and not torch.backends.mps.is_available():
            raise UnsupportedError("no MPS device can be used here; use the device cpu")
        return name
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def _locate(name: str) -> str:
    """The folder that `name` stands for, or `name` itself if it can only be a hub id."""
    if name.startswith(DEMO_PREFIX):
        if name not in DEMO_MODELS:
            raise UnknownNameError("demo model", name, DEMO_MODELS)
        return str(DEMO_MODELS[name])
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise ModelNotFoundError(f"there is no model folder {name!r}; check the path")
        return name
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(
            f"the folder {name!r} holds no config.json, so it is not a Hugging Face model; name "
            "the folder that was written by save_pretrained"
        )
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"the folder {name!r} holds no .safetensors file; other formats can run code when "
            "they are opened, so convert it once with model.save_pretrained(folder)"
        )
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise ModelNotFoundError(
            f"the folder {name!r} holds no tokenizer files; save the model's tokenizer there with "
            "tokenizer.save_pretrained(folder)"
        )
    return str(folder)


def _read(
    name: str, source: str, arguments: Mapping[str, Any], for_tokenizer: Mapping[str, Any]
) -> tuple[Any, Any]:
    shared = {key: arguments[key] for key in SHARED if key in arguments}
    with _quiet(), _refusals(name, source):
        config = transformers.AutoConfig.from_pretrained(
            source, local_files_only=is_local_only(), **{"trust_remote_code": False, **shared}
        )
        family = (
            transformers.AutoModelForSeq2SeqLM
            if config.is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        loaded: Any = family.from_pretrained(
            source,
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=is_local_only(),
            **{"trust_remote_code": False, **arguments},
        )
        network, found = loaded
        _check_complete(name, found)
        return network, load_tokenizer(source, **{**shared, **for_tokenizer})


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Inside, transformers prints and draws nothing."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    had_bar = transformers_logging.is_progress_bar_enabled()
    if had_bar:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bar:
            transformers_logging.enable_progress_bar()


@contextlib.contextmanager
def _refusals(name: str, source: str) -> Generator[None]:
    """Inside, what transformers raises becomes one sentence."""
    try:
        yield
    except (SafetensorError, json.JSONDecodeError) as error:
        raise WeightsError(f"a file of {name!r} is corrupt ({error}); copy it again") from error
    except ImportError as error:
        raise UnsupportedError(
            f"{name!r} needs a package that is not installed ({_first_line(error)})"
        ) from error
    except OSError as error:
        raise _not_found(name, source, error) from error
    except TypeError as error:
        raise InputError(
            f"{name!r} cannot be loaded with these arguments ({_first_line(error)})"
        ) from error
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise UnsupportedError(
                f"{name!r} brings code of its own, which is not run unasked; read it, and if you "
                'trust it give model_kwargs={"trust_remote_code": True}'
            ) from error
        raise UnsupportedError(
            f"{name!r} is not a generating language model that transformers "
            f"{transformers.__version__} can load ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def name_of(network: Any) -> str:
    """The name of a model that the caller loaded.

    Raises:
        UnsupportedError: its weights are on other machines, or it is no transformers model.
    """
    if type(network).__module__.partition(".")[0] == "petals":
        raise UnsupportedError(
            "a Petals model keeps its weights on other machines, and attribution needs them here; "
            "load the same model with transformers' AutoModelForCausalLM, with device_map or in 4 "
            "bits where it is large"
        )
    if not hasattr(network, "config"):  # wrappers such as PEFT's have one, too
        raise UnsupportedError(
            f"{type(network).__name__} is not a transformers model; give a PreTrainedModel, a "
            "folder, or the name of a model"
        )
    return str(network.config.name_or_path or type(network).__name__)


def is_local_only() -> bool:
    """Whether only what is on this machine may be read; nothing is downloaded unasked."""
    return os.environ.get(DOWNLOAD, "") in {"", "0"}


def load_tokenizer(source: str, **options: Any) -> Any:
    """The tokenizer of a demo model, a folder or a hub id.

    Args:
        source: the demo model's name, the folder or the id.
        options: what transformers' `from_pretrained` of tokenizers takes.

    Raises:
        ModelNotFoundError: there is none on this machine.
    """
    try:
        return transformers.AutoTokenizer.from_pretrained(
            str(DEMO_MODELS.get(source, source)),
            local_files_only=is_local_only(),
            **{"trust_remote_code": False, **options},
        )
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"no tokenizer was found for {source!r}; save it beside the model with "
            "tokenizer.save_pretrained(folder), or pass the tokenizer itself"
        ) from error


def _check_complete(name: str, found: Any) -> None:
    """Refuses weights that transformers would make up."""
    missing = sorted(str(key) for key in found.get("missing_keys") or ())
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise WeightsError(
            f"{len(missing)} weights of {name!r} are missing ({shown}) and would be random; the "
            "files are incomplete or belong to another kind of model: copy them again"
        )


def _not_found(name: str, source: str, error: OSError) -> Exception:
    text = str(error)
    if "safetensors" in text:
        return WeightsError(
            f"{name!r} has no .safetensors weights; other formats can run code when they are "
            "opened, so convert it once with model.save_pretrained(folder)"
        )
    if Path(source).is_dir():
        return WeightsError(f"a file of {name!r} cannot be read ({_first_line(error)})")
    known = {short: key for key in DEMO_MODELS for short in (key, key.removeprefix(DEMO_PREFIX))}
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {known[near[0]]!r}? " if near else ""
    return ModelNotFoundError(
        f"no model is named {name!r} on this machine; {hint}use {', '.join(sorted(DEMO_MODELS))}, "
        f"a local folder, or set {DOWNLOAD}=1 to download it from the hub"
    )


def _check_numbers(name: str, network: Any) -> None:
    for parameter_name, parameter in network.named_parameters():
        if parameter.is_floating_point() and parameter.numel() and not parameter.is_meta:
            low, high = torch.aminmax(parameter.detach())
            if not bool(torch.isfinite(low) & torch.isfinite(high)):
                raise WeightsError(
                    f"the weights {parameter_name!r} of {name!r} hold NaN or infinity; the file "
                    "is damaged or the training diverged: use another checkpoint"
                )


def same_place(one: str, other: str) -> bool:
    """Whether two names mean one device; without a number, CUDA's current one is meant."""
    current = str(torch.cuda.current_device()) if one[:4] == other[:4] == "cuda" else "0"
    (kind, _, number), (same, _, its) = one.partition(":"), other.partition(":")
    return (kind, number or current) == (same, its or current)
