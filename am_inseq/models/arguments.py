"""What a user may say about how a model is loaded, checked before anything is read."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
import transformers

from am_inseq.core.names import DEMO_PREFIX
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError

DTYPES: Final = {
    name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")
}
# arguments that say where files are, and so are the tokenizer's and configuration's as well
SHARED: Final = (
    "cache_dir",
    "code_revision",
    "revision",
    "subfolder",
    "token",
    "trust_remote_code",
)
_OWN: Final = frozenset({"config", "local_files_only", "output_loading_info", "use_safetensors"})
_BITS: Final = ("load_in_8bit", "load_in_4bit")


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments of transformers' `from_pretrained`, sound as far as can be told.

    Attributes:
        dtype: the number type that was asked for; None: as the device has it.
        is_placed: the arguments say where the weights go, so they are not moved afterwards.
        is_quantized: they are packed in 8 or 4 bits on the way.
        rest: every other argument.
    """

    dtype: torch.dtype | None
    is_placed: bool
    is_quantized: bool
    rest: Mapping[str, Any]

    def placed_on(self, device: str) -> dict[str, Any]:
        """The arguments; weights that are packed must be told their device at once."""
        if self.is_quantized and not self.is_placed:
            return {**self.rest, "device_map": {"": device}}
        return dict(self.rest)


def read_arguments(
    name: str,
    device: str,
    dtype: str | torch.dtype,
    revision: str | None,
    model_kwargs: Mapping[str, Any] | None,
) -> Arguments:
    """The arguments, checked.

    Raises:
        UnknownNameError: no such number type.
        InputError: they contradict each other or are set by the library.
        UnsupportedError: a package that they need is not installed.
    """
    rest = dict(model_kwargs or {})
    owned = sorted(_OWN & rest.keys())
    if owned:
        raise InputError(f"model_kwargs may not hold {owned[0]!r}, which is set by the library")
    if revision is not None:
        if name.startswith((DEMO_PREFIX, ".", "/", "~")):
            raise InputError("revision chooses among the versions of a hub id; leave it out here")
        rest["revision"] = revision
    chosen = _dtype(dtype, rest)
    is_quantized = _pack(rest)
    is_placed = rest.get("device_map") is not None
    if is_placed and device != "auto":
        raise InputError("device and device_map both say where the model goes; give one of them")
    if is_placed or is_quantized:
        _need("accelerate", "device_map" if is_placed else "loading in 8 or 4 bits")
    return Arguments(chosen, is_placed, is_quantized, rest)


def _dtype(asked: str | torch.dtype, rest: dict[str, Any]) -> torch.dtype | None:
    """The number type; takes what transformers calls it out of `rest`."""
    named = [rest.pop(key) for key in ("dtype", "torch_dtype") if key in rest]
    every = {read_dtype(one) for one in (asked, *named)} - {None}
    if len(every) > 1:
        raise InputError("dtype and model_kwargs name different number types; give one of them")
    return every.pop() if every else None


def read_dtype(asked: Any) -> torch.dtype | None:
    """A number type by its name, with or without "torch."; None for "auto".

    Raises:
        UnknownNameError: models are not loaded in such a type.
    """
    name = str(asked).removeprefix("torch.")
    if name in {"auto", "None"}:
        return None
    if name not in DTYPES:
        raise UnknownNameError("number type", name, DTYPES)
    return DTYPES[name]


def _pack(rest: dict[str, Any]) -> bool:
    """Whether weights are packed on the way; writes `load_in_8bit` as transformers 5 wants it."""
    asked = {key: rest.pop(key) for key in _BITS if key in rest}
    bits = [key for key, wanted in asked.items() if wanted]
    config = rest.get("quantization_config")
    if not bits and config is None:
        return False
    if len(bits) > 1 or (bits and config is not None):
        raise InputError("give one of load_in_8bit, load_in_4bit and quantization_config")
    if bits or isinstance(config, transformers.BitsAndBytesConfig):
        _need("bitsandbytes", bits[0] if bits else "this quantization_config")
    if bits:
        rest["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_8bit=bits[0] == _BITS[0], load_in_4bit=bits[0] == _BITS[1]
        )
    return True


def _need(package: str, purpose: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UnsupportedError(
            f"{purpose} needs the package {package}, which is not installed; install it with "
            f"pip install {package}, or load the model without"
        )
