"""Tensors as inseq writes them into JSON.

inseq 0.7 writes a safetensors file with one tensor, "attribution", in base 64. inseq 0.6 and
json-tricks before it write an object with "__ndarray__" (numbers in nested lists, or the array's
bytes in base 64, gzipped or not), "dtype" and "shape"; so does inseq 0.7 inside step attributions.
With `use_primitives` they are nested lists alone.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import math
import zlib
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from am_inseq.errors import InputError

Precision: TypeAlias = Literal["float32", "float16", "float8"]
Form: TypeAlias = Literal["compact", "lists", "plain"]

TYPES: Final[Mapping[str, torch.dtype]] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "float8": torch.float8_e4m3fn,
}
_NAMES: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}
_PREFIXES: Final = ("b64.gz:", "b64:")


class TensorError(ValueError):
    """What should be a tensor is none."""


def rounded(tensor: Tensor, precision: str) -> Tensor:
    """The tensor in the number type of a precision, NaN staying NaN.

    Args:
        tensor: any shape.
        precision: "float32", "float16" or "float8" (e4m3fn: three bits of mantissa, up to 448).

    Raises:
        InputError: no such precision, or a number that is too large for it.
    """
    if precision not in TYPES:
        known = ", ".join(TYPES)
        raise InputError(f"scores_precision is one of {known}, not {precision!r}")
    wanted = TYPES[precision]
    plain = tensor.detach().to("cpu")
    largest = plain[plain.isfinite()].abs().max().item() if plain.isfinite().any() else 0.0
    most = torch.finfo(wanted).max
    has_infinity = precision != "float8" or not bool(plain.isinf().any())
    if largest > most or not has_infinity:
        shown = f"{largest:.3g}" if has_infinity else "infinity"
        raise InputError(
            f"a score of {shown} does not fit {precision}, which ends at {most:.3g}; use a wider "
            "scores_precision"
        )
    return plain.to(wanted).contiguous()


def encode(tensor: Tensor, precision: str, form: Form) -> Any:
    """A tensor as JSON.

    Args:
        tensor: any shape.
        precision: number type that the scores are rounded to.
        form: "compact" for inseq 0.7's base 64, "lists" for 0.6's "__ndarray__" with numbers,
            "plain" for numbers in lists, NaN as null.

    Raises:
        InputError: a score is too large for the precision.
    """
    stored = rounded(tensor, precision)
    if form == "compact":
        blob = save({"attribution": stored.clone()})
        return base64.b64encode(blob).decode()
    if form == "plain":
        return _plain(stored.float().tolist())
    return {
        "__ndarray__": stored.float().tolist(),
        "dtype": "float32",
        "shape": list(stored.shape),
        **({"Corder": True} if stored.ndim > 1 else {}),
    }


def _plain(numbers: Any) -> Any:
    if isinstance(numbers, list):
        return [_plain(one) for one in numbers]
    return plain_number(numbers)


def plain_number(number: float) -> float | str | None:
    """A number as any reader of JSON takes it: NaN as null, infinity as "Infinity"."""
    return None if math.isnan(number) else _NAMES.get(number, number)


def decode(written: Any) -> Tensor:
    """A tensor from JSON, float32 unless an array says float64.

    Raises:
        TensorError: it is none.
    """
    try:
        if isinstance(written, str):
            return load(base64.b64decode(written, validate=True))["attribution"].float()
        if isinstance(written, Mapping):
            return _array(written)
        return torch.tensor(_numbers(written), dtype=torch.float32)
    except (
        SafetensorError,
        binascii.Error,
        zlib.error,
        EOFError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        raise TensorError(f"{type(error).__name__}: {error}") from error


def _array(written: Mapping[str, Any]) -> Tensor:
    data, shape, kind = written["__ndarray__"], tuple(written["shape"]), np.dtype(written["dtype"])
    if kind.kind not in "fiu":
        raise TensorError(f"{kind} is no type of scores")
    wide = np.float64 if kind == np.float64 else np.float32
    if isinstance(data, str):
        prefix = next((one for one in _PREFIXES if data.startswith(one)), None)
        if prefix is None:
            raise TensorError("an array begins with neither b64: nor b64.gz:")
        blob = base64.b64decode(data.removeprefix(prefix), validate=True)
        blob = gzip.decompress(blob) if prefix == "b64.gz:" else blob
        order = "C" if written.get("Corder", True) else "F"
        array = np.frombuffer(blob, kind).reshape(shape, order=order)
        return torch.from_numpy(array.astype(wide, order="C"))
    return torch.from_numpy(np.array(_numbers(data), dtype=wide).reshape(shape))


def _numbers(written: Any) -> Any:
    if isinstance(written, list):
        return [_numbers(one) for one in written]
    return math.nan if written is None else float(written)
