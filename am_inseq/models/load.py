"""Finding and loading models: demo models, local folders, hub ids."""

from __future__ import annotations

import difflib
import json
import logging
import os
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from am_inseq.core.names import DEMO_MODELS, DEMO_PREFIX
from am_inseq.errors import ModelNotFoundError, UnknownNameError, UnsupportedError, WeightsError
from am_inseq.models.huggingface import HuggingFaceModel, wrap

logger = logging.getLogger(__name__)

_DTYPES: Final = {
    name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")
}


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


def load_model(name: str, *, device: str = "auto", dtype: str = "auto") -> HuggingFaceModel:
    """The model called `name`, its parameters frozen.

    Args:
        name: "demo/lm", "demo/en-fr", a local folder in Hugging Face layout, or a hub id.
        device: "cpu", "cuda:0", "mps", …; "auto" takes CUDA where it is, else the CPU.
        dtype: "float32", "float64", "bfloat16" or "float16"; "auto" is float32 on the CPU, the
            checkpoint's own type elsewhere.

    Raises:
        UnknownNameError: a demo model or number type that does not exist.
        ModelNotFoundError: no such folder, and no such hub id within reach.
        WeightsError: no safetensors, a corrupt file, or weights that are not numbers.
        UnsupportedError: not a language model that generates.
    """
    if dtype != "auto" and dtype not in _DTYPES:
        raise UnknownNameError("number type", dtype, _DTYPES)
    is_demo = name.startswith(DEMO_PREFIX)
    source = _locate(name)
    place = pick_device(device)
    chosen: Any = _DTYPES.get(dtype, torch.float32 if place == "cpu" else "auto")
    network, tokenizer = _read(name, source, chosen)
    network.to(place)
    _check_numbers(name, network)
    return wrap(network, tokenizer, name=name, is_demo=is_demo)


def pick_device(name: str) -> str:
    """The device that "auto" stands for, or the one named."""
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


def _read(name: str, source: str, dtype: Any) -> tuple[Any, Any]:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    had_bar = transformers_logging.is_progress_bar_enabled()
    if had_bar:
        transformers_logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(source, local_files_only=_is_local())
        family = (
            transformers.AutoModelForSeq2SeqLM
            if config.is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        loaded: Any = family.from_pretrained(
            source,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=_is_local(),
        )
        network, found = loaded
        _check_complete(name, found)
        return network, load_tokenizer(source)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise WeightsError(f"a file of {name!r} is corrupt ({error}); copy it again") from error
    except OSError as error:
        raise _not_found(name, source, error) from error
    except ValueError as error:
        raise UnsupportedError(
            f"{name!r} is not a generating language model that transformers "
            f"{transformers.__version__} can load ({str(error).splitlines()[0][:200]})"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bar:
            transformers_logging.enable_progress_bar()


def _is_local() -> bool:
    """Whether only what is on this machine may be read; nothing is downloaded unasked."""
    return os.environ.get(DOWNLOAD, "") in {"", "0"}


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a folder or hub id.

    Raises:
        ModelNotFoundError: there is none on this machine.
    """
    try:
        return transformers.AutoTokenizer.from_pretrained(source, local_files_only=_is_local())
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
        return WeightsError(f"a file of {name!r} cannot be read ({text.splitlines()[0][:200]})")
    known = {short: key for key in DEMO_MODELS for short in (key, key.removeprefix(DEMO_PREFIX))}
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {known[near[0]]!r}? " if near else ""
    return ModelNotFoundError(
        f"no model is named {name!r} on this machine; {hint}use {', '.join(sorted(DEMO_MODELS))}, "
        f"a local folder, or set {DOWNLOAD}=1 to download it from the hub"
    )


def _check_numbers(name: str, network: Any) -> None:
    for parameter_name, parameter in network.named_parameters():
        if parameter.is_floating_point() and parameter.numel():
            low, high = torch.aminmax(parameter.detach())
            if not bool(torch.isfinite(low) & torch.isfinite(high)):
                raise WeightsError(
                    f"the weights {parameter_name!r} of {name!r} hold NaN or infinity; the file "
                    "is damaged or the training diverged: use another checkpoint"
                )
