"""Finding and loading models: demo models, local folders, hub ids."""

from __future__ import annotations

import json
import logging
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
    return str(folder)


def _read(name: str, source: str, dtype: Any) -> tuple[Any, Any]:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(source)
        family = (
            transformers.AutoModelForSeq2SeqLM
            if config.is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        network = family.from_pretrained(source, dtype=dtype, use_safetensors=True)
        return network, transformers.AutoTokenizer.from_pretrained(source)
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
        transformers_logging.enable_progress_bar()


def _not_found(name: str, source: str, error: OSError) -> Exception:
    text = str(error)
    if "safetensors" in text:
        return WeightsError(
            f"{name!r} has no .safetensors weights; other formats can run code when they are "
            "opened, so convert it once with model.save_pretrained(folder)"
        )
    if Path(source).is_dir():
        return WeightsError(f"a file of {name!r} cannot be read ({text.splitlines()[0][:200]})")
    return ModelNotFoundError(
        f"no model is named {name!r} here and the hub cannot be asked (no network, or offline "
        f"mode); check the name, download it first, or use {', '.join(sorted(DEMO_MODELS))} "
        "or a local folder"
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
