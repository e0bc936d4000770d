"""The library's results and errors in their wire form.

Positions leave the library as code points and are counted here in the encoding of the connection.
"""

from __future__ import annotations

import array
import itertools
import logging
import sys
import traceback
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from am_inseq import errors
from am_inseq.core.tokens import Token
from am_inseq.core.view import Matrix, View
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.errors import LIBRARY_ERRORS, WireError, wire_error

if TYPE_CHECKING:
    from am_inseq.core.attribution import Attribution

logger = logging.getLogger(__name__)

_RENAMED: Final = {"what": "kind"}


class Offsets:
    """Code points of one text, counted in another unit."""

    def __init__(self, text: str, encoding: t.PositionEncoding) -> None:
        width = _WIDTHS[encoding]
        self._starts = [0, *itertools.accumulate(map(width, text))] if width else None

    def __call__(self, code_points: int) -> int:
        """The same position in the other unit; -1 stays what it is."""
        if self._starts is None or code_points < 0:
            return code_points
        return self._starts[code_points]


def _utf8_width(character: str) -> int:
    return len(character.encode("utf-8", "surrogatepass"))


def _utf16_width(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1


_WIDTHS: Final = {"utf-8": _utf8_width, "utf-16": _utf16_width, "utf-32": None}


class Texts:
    """Offsets for the two texts of an attribution."""

    def __init__(self, prompt: str, continuation: str, encoding: t.PositionEncoding) -> None:
        self._offsets = {
            "prompt": Offsets(prompt, encoding),
            "continuation": Offsets(continuation, encoding),
            "special": Offsets("", "utf-32"),
        }

    def range(
        self, part: Literal["prompt", "continuation", "special"], start: int, end: int
    ) -> dict[str, int]:
        """`start` and `end` of a range of that part."""
        offsets = self._offsets[part]
        return {"start": offsets(start), "end": offsets(end)}


def to_tokens(
    tokens: Iterable[Token], prompt: str, continuation: str, encoding: t.PositionEncoding
) -> tuple[t.TokenInfo, ...]:
    """Tokens with their positions in `encoding`."""
    texts = Texts(prompt, continuation, encoding)
    return tuple(
        t.TokenInfo(
            text=token.text,
            piece=token.piece,
            id=token.id,
            side=token.side,
            part=token.part,
            **texts.range(token.part, token.start, token.end),
        )
        for token in tokens
    )


def to_view(
    view: View, prompt: str, continuation: str, encoding: t.PositionEncoding
) -> t.AttributionView:
    """A view with its positions in `encoding`."""
    texts = Texts(prompt, continuation, encoding)
    return t.AttributionView(
        unit=view.unit,
        is_signed=view.is_signed,
        spans=tuple(
            t.ViewSpan(
                text=span.text,
                part=span.part,
                tokens=span.tokens,
                **texts.range(span.part, span.start, span.end),
            )
            for span in view.spans
        ),
        targets=tuple(
            t.ViewTarget(
                text=target.text,
                token=target.token,
                probability=target.probability,
                contrast=target.contrast,
                **texts.range("continuation", target.start, target.end),
            )
            for target in view.targets
        ),
        values=_tensor("f32", view.values, len(view.spans)),
        shares=_tensor("f32", view.shares, len(view.spans)),
        intensities=_tensor("f32", view.intensities, len(view.spans)),
        ranks=_tensor("i32", view.ranks, len(view.spans)),
    )


def to_result(
    attribution: Attribution, encoding: t.PositionEncoding, view: View | None = None
) -> t.AttributionComputeResult:
    """The answer to `attribution/compute`; `view` is shown in place of the result's own."""
    from am_inseq.ops.view import make_view

    prompt, continuation = attribution.prompt, attribution.continuation
    said = attribution.diagnostics
    residuals = said.residual
    shown = view or make_view(attribution)
    return t.AttributionComputeResult(
        model=attribution.model,
        device=attribution.device,
        dtype=attribution.dtype,
        method=attribution.method,
        options=_options(attribution.options),
        score=attribution.score,
        unit=shown.unit,
        is_demo=attribution.is_demo,
        prompt=prompt,
        continuation=continuation,
        tokens=to_tokens(attribution.tokens, prompt, continuation, encoding),
        view=to_view(shown, prompt, continuation, encoding),
        step_scores={name: tuple(values) for name, values in attribution.step_scores.items()},
        diagnostics=t.Diagnostics(
            probability_difference=said.probability_difference,
            residual=None if residuals is None else max(map(abs, residuals), default=0.0),
            warnings=said.warnings,
            seconds=said.seconds,
            forward_tokens=said.forward_tokens,
            backward_tokens=said.backward_tokens,
        ),
    )


def to_partial(attribution: Attribution, encoding: t.PositionEncoding) -> t.PartialScores:
    """The targets finished so far, while the rest is computed."""
    from am_inseq.ops.view import make_view

    prompt, continuation = attribution.prompt, attribution.continuation
    return t.PartialScores(
        continuation=continuation,
        view=to_view(make_view(attribution), prompt, continuation, encoding),
        targets_total=len(attribution.tokens) - attribution.targets[0],
    )


def to_error(error: BaseException) -> WireError:
    """Any exception as it is sent; one that was not raised on purpose is logged as a defect."""
    if isinstance(error, errors.CancelledError):
        return wire_error("RequestCancelled", "the request was cancelled")
    for cls in type(error).__mro__:
        known = LIBRARY_ERRORS.get(cls.__name__)
        if known is not None and isinstance(error, errors.AmInseqError):
            fields = {name: _field(error, name) for name in known.fields}
            return wire_error(known.name, str(error), **fields)
    trace = uuid.uuid4().hex[:12]
    logger.error("defect %s", trace, exc_info=error)
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" in {where[0].name}" if where else ""
    text = f"a defect in am-inseq ({type(error).__name__}{place}); its log holds it under {trace}"
    return wire_error("InternalError", text, trace=trace)


def _field(error: errors.AmInseqError, name: str) -> Any:
    value = getattr(error, _RENAMED.get(name, name), None)
    if isinstance(value, tuple):
        return list(value)
    return _ABSENT.get(name) if value is None else value


_ABSENT: Final[dict[str, Any]] = {"lines": [], "waiting": 0}


def _options(options: Mapping[str, object]) -> dict[str, t.OptionValue]:
    return {
        name: value if isinstance(value, int | float | str | bool | None) else str(value)
        for name, value in options.items()
    }


def _tensor(
    dtype: Literal["f32", "i32"], rows: Matrix | tuple[tuple[int, ...], ...], columns: int
) -> t.TensorPayload:
    flat: Any = itertools.chain.from_iterable(rows)
    data = array.array("f" if dtype == "f32" else "i", flat)
    if sys.byteorder == "big":
        data.byteswap()
    return t.TensorPayload(dtype=dtype, shape=(len(rows), columns), data=data.tobytes())
