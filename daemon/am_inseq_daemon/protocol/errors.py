"""Every error that crosses the wire: `{code, message, data: {kind, …fields}}`.

The first table repeats `am_inseq.errors`, which this side may not import (a test compares them);
the second holds what only the connection itself can get wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

STRING: Final = "string"
NUMBER: Final = "number"
STRINGS: Final = "readonly string[]"


@attrs.frozen
class ErrorKind:
    """One kind of error.

    Attributes:
        name: the value of `data.kind`.
        code: stable number.
        meaning: one line for people.
        fields: what `data` holds beside `kind`: name on the wire to its TypeScript type.
    """

    name: str
    code: int
    meaning: str
    fields: Mapping[str, str] = MappingProxyType({})


def _table(*kinds: ErrorKind) -> Mapping[str, ErrorKind]:
    return MappingProxyType({kind.name: kind for kind in kinds})


LIBRARY_ERRORS: Final = _table(
    ErrorKind("AmInseqError", 1000, "the request failed on purpose, for no more special reason"),
    ErrorKind("InputError", 1100, "the caller can fix the request"),
    ErrorKind(
        "UnknownNameError",
        1101,
        "a method, score, option or model that does not exist; `what` says which of them",
        {"what": STRING, "name": STRING, "known": STRINGS},
    ),
    ErrorKind("TargetError", 1102, "a target that is empty or does not follow the prompt"),
    ErrorKind("UnitError", 1103, "scores of different units were combined"),
    ErrorKind(
        "TextTooLongError",
        1104,
        "more tokens than the model can read",
        {"length": NUMBER, "limit": NUMBER},
    ),
    ErrorKind("ModelNotFoundError", 1105, "no such folder, or no such hub id within reach"),
    ErrorKind("UnsupportedError", 1200, "a sound request that this model or method cannot answer"),
    ErrorKind("NotDifferentiableError", 1201, "a gradient method on a score without gradient"),
    ErrorKind("MissingSiteError", 1202, "this model family does not expose that place"),
    ErrorKind("ModelError", 1250, "the model itself is unsound"),
    ErrorKind("WeightsError", 1251, "no safetensors, a corrupt file, or weights not numbers"),
    ErrorKind(
        "GuardError",
        1252,
        "the explained probability is not the model's own",
        {"difference": NUMBER, "tolerance": NUMBER},
    ),
    ErrorKind("ResourceError", 1300, "the device or the disk is full"),
    ErrorKind(
        "DeviceLostError",
        1301,
        "the process that held the model is gone; the request may be sent again",
        {"lines": STRINGS},
    ),
    ErrorKind("BusyError", 1350, "too much is waiting already", {"waiting": NUMBER}),
    ErrorKind("DaemonUnavailableError", 1360, "no daemon answers and none may be started"),
    ErrorKind("CancelledError", 1400, "the caller asked to stop; on the wire: RequestCancelled"),
)

PROTOCOL_ERRORS: Final = _table(
    ErrorKind("ParseError", -32700, "the frame or its body cannot be read"),
    ErrorKind("InvalidRequest", -32600, "the body is no message, or its id is already in use"),
    ErrorKind("MethodNotFound", -32601, "no such method", {"name": STRING}),
    ErrorKind("InvalidParams", -32602, "a field is missing, unknown or of the wrong type"),
    ErrorKind(
        "InternalError", -32603, "a defect; the log holds it under `trace`", {"trace": STRING}
    ),
    ErrorKind("NotInitialized", -32002, "the first request must be `initialize`"),
    ErrorKind(
        "VersionMismatch",
        -32010,
        "client and daemon speak different versions of the protocol",
        {"ours": NUMBER, "theirs": NUMBER},
    ),
    ErrorKind("RequestCancelled", -32800, "the client asked to stop, or left"),
)

ERRORS: Final[Mapping[str, ErrorKind]] = MappingProxyType({**LIBRARY_ERRORS, **PROTOCOL_ERRORS})


@attrs.frozen
class WireError:
    """An error as it is sent."""

    code: int
    message: str
    data: dict[str, Any]


class WireFault(Exception):  # noqa: N818 - the exception is the fault, WireError what is sent
    """Raised by anything that answers a request: the client gets exactly this error."""

    def __init__(self, error: WireError) -> None:
        self.error = error
        super().__init__(error.message)


def wire_error(kind: str, message: str, **fields: Any) -> WireError:
    """The error of that kind, with its code and exactly its fields."""
    known = ERRORS[kind]
    if fields.keys() != known.fields.keys():
        raise TypeError(f"{kind} carries {sorted(known.fields)}, not {sorted(fields)}")
    return WireError(known.code, message, {"kind": kind, **fields})


def fault(kind: str, message: str, **fields: Any) -> WireFault:
    """The same, ready to be raised."""
    return WireFault(wire_error(kind, message, **fields))
