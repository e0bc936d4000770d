"""What crosses the wire: every message body, once, for every language.

`codegen` turns these classes into TypeScript; nothing else may invent a field. In a `*Params` class
a field with a default may be left out by the client; in a `*Result` class every field is sent.
Character positions count in the unit that `initialize` agreed on (UTF-16 code units by default)
and always fall between whole user-visible characters.
"""

from __future__ import annotations

from typing import Literal

import attrs

from am_inseq_daemon.protocol import context, requests

PositionEncoding = Literal["utf-8", "utf-16", "utf-32"]
OptionValue = requests.OptionValue
ProgressToken = requests.ProgressToken

Aggregation = requests.Aggregation
AttributionComputeParams = requests.AttributionComputeParams
AttributionContextParams = requests.AttributionContextParams
ContextCue = context.ContextCue
ContextRange = context.ContextRange
ContextRanges = context.ContextRanges
AttributionContextResult = context.AttributionContextResult


@attrs.frozen(kw_only=True)
class TensorPayload:
    """A dense tensor: row-major, little-endian, `data` holds prod(shape) elements of `dtype`."""

    dtype: Literal["f32", "i32", "u8"]
    shape: tuple[int, ...]
    data: bytes


@attrs.frozen(kw_only=True)
class PeerInfo:
    """Who is speaking."""

    name: str
    version: str


@attrs.frozen(kw_only=True)
class InitializeParams:
    """First message of a connection; nothing else is answered before it."""

    protocol_version: int
    client: PeerInfo
    position_encodings: tuple[PositionEncoding, ...] = ("utf-16",)


@attrs.frozen(kw_only=True)
class InitializeResult:
    """The daemon's side of the handshake."""

    protocol_version: int
    server: PeerInfo
    position_encoding: PositionEncoding
    pid: int
    default_model: str


@attrs.frozen(kw_only=True)
class EmptyParams:
    """Nothing to say."""


@attrs.frozen(kw_only=True)
class EmptyResult:
    """Done."""


@attrs.frozen(kw_only=True)
class CancelParams:
    """Asks the daemon to stop working on the request `id`."""

    id: int | str


@attrs.frozen(kw_only=True)
class PingResult:
    """The daemon is alive."""

    pid: int
    uptime_seconds: float


@attrs.frozen(kw_only=True)
class ModelStatus:
    """One model the daemon holds, and its worker process."""

    model: str
    device: str
    state: Literal["loading", "ready", "working", "failed"]
    pid: int | None
    memory_bytes: int | None
    jobs_waiting: int
    idle_seconds: float
    last_error: str | None


@attrs.frozen(kw_only=True)
class DaemonStatusResult:
    """Everything `am-inseq daemon status` shows."""

    pid: int
    version: str
    protocol_version: int
    uptime_seconds: float
    clients: int
    queue_length: int
    memory_bytes: int | None
    socket: str
    log: str
    models: tuple[ModelStatus, ...]
    last_error: str | None


@attrs.frozen(kw_only=True)
class LogParams:
    """Asks for the last lines of the daemon's own log."""

    lines: int = 50


@attrs.frozen(kw_only=True)
class LogResult:
    """The last lines of the daemon's log, oldest first."""

    lines: tuple[str, ...]


@attrs.frozen(kw_only=True)
class ModelParams:
    """Names a model on a device ("auto": the daemon chooses)."""

    model: str
    device: str = "auto"


@attrs.frozen(kw_only=True)
class KnownModel:
    """A model that can be named in a request."""

    name: str
    description: str
    is_demo: bool
    is_loaded: bool


@attrs.frozen(kw_only=True)
class ModelListResult:
    """The models this daemon knows of; any local folder or cached hub id works as well."""

    models: tuple[KnownModel, ...]


@attrs.frozen(kw_only=True)
class CatalogueOption:
    """One option of a method or a score."""

    name: str
    type: str
    default: OptionValue
    description: str


@attrs.frozen(kw_only=True)
class CatalogueMethod:
    """One attribution method; `summary` is the first line of `description`."""

    name: str
    summary: str
    description: str
    needs_gradients: bool
    is_signed: bool
    cost: str
    source: str
    options: tuple[CatalogueOption, ...]


@attrs.frozen(kw_only=True)
class CatalogueScore:
    """One score that can be attributed or recorded."""

    name: str
    summary: str
    description: str
    unit: str
    needs_contrast: bool
    options: tuple[CatalogueOption, ...]


@attrs.frozen(kw_only=True)
class CatalogueResult:
    """What a request may name."""

    methods: tuple[CatalogueMethod, ...]
    scores: tuple[CatalogueScore, ...]
    default_method: str
    default_contrast_method: str
    default_score: str


@attrs.frozen(kw_only=True)
class TokenInfo:
    """One token the model read or wrote.

    `start` and `end` are characters of the prompt for tokens of `part` "prompt", of the
    continuation for "continuation"; both are -1 for tokens that stand for no text of their own
    ("special").
    """

    text: str
    piece: str
    id: int
    side: Literal["encoder", "decoder"]
    part: Literal["prompt", "continuation", "special"]
    start: int
    end: int


@attrs.frozen(kw_only=True)
class ViewSpan:
    """A stretch of text that carries one score; tokens that share characters share a span."""

    text: str
    part: Literal["prompt", "continuation", "special"]
    start: int
    end: int
    tokens: tuple[int, ...]


@attrs.frozen(kw_only=True)
class ViewTarget:
    """One generated token: a row of a view, and a stretch of the continuation.

    `contrast` is the text of what it is set against; "" where that is nothing else.
    """

    text: str
    start: int
    end: int
    token: int
    probability: float
    contrast: str = ""


@attrs.frozen(kw_only=True)
class AttributionView:
    """Scores ready to be shown.

    Row 0 of each tensor is the whole output, row 1 + i is `targets[i]`; columns are `spans`.
    `values` are in `unit`; `shares` are |value| over the row's sum of |value| (0 to 1);
    `intensities` are value over the row's largest |value| (-1 to 1); `ranks` start at 1, 0 where a
    span cannot matter to that row. Only prompt spans count towards shares, intensities and ranks
    of row 0; in other rows earlier continuation spans count too.
    """

    unit: str
    is_signed: bool
    spans: tuple[ViewSpan, ...]
    targets: tuple[ViewTarget, ...]
    values: TensorPayload
    shares: TensorPayload
    intensities: TensorPayload
    ranks: TensorPayload


@attrs.frozen(kw_only=True)
class Diagnostics:
    """What the run says about itself.

    `probability_difference` is the largest difference, in nats, between the explained
    log-probability and the model's own; `residual` is the largest completeness residual in the
    score's unit, None where the method promises none.
    """

    probability_difference: float
    residual: float | None
    warnings: tuple[str, ...]
    seconds: float
    forward_tokens: int
    backward_tokens: int


@attrs.frozen(kw_only=True)
class AttributionComputeResult:
    """The answer to `attribution/compute`."""

    model: str
    device: str
    dtype: str
    method: str
    options: dict[str, OptionValue]
    score: str
    unit: str
    is_demo: bool
    prompt: str
    continuation: str
    tokens: tuple[TokenInfo, ...]
    view: AttributionView
    step_scores: dict[str, tuple[float, ...]]
    diagnostics: Diagnostics


@attrs.frozen(kw_only=True)
class TextTokensParams:
    """Asks how a model cuts a text into tokens."""

    text: str
    model: str = "auto"
    device: str = "auto"


@attrs.frozen(kw_only=True)
class TextTokensResult:
    """The tokens of the text, special ones included."""

    tokens: tuple[TokenInfo, ...]


@attrs.frozen(kw_only=True)
class WorkProgress:
    """`$/progress` value under a `work_done_token`.

    `stage` is what happens now; `done` of `total` device batches are finished (total 0: unknown).
    """

    kind: Literal["work"] = "work"
    stage: Literal["queued", "loading", "generating", "attributing"]
    done: int
    total: int
    message: str


@attrs.frozen(kw_only=True)
class PartialPrompt:
    """`$/progress` value: the prompt as the model reads it; first of the partial results."""

    kind: Literal["prompt"] = "prompt"
    tokens: tuple[TokenInfo, ...]


@attrs.frozen(kw_only=True)
class PartialContinuation:
    """`$/progress` value: the continuation so far; a later one replaces an earlier one."""

    kind: Literal["continuation"] = "continuation"
    text: str
    is_final: bool


@attrs.frozen(kw_only=True)
class PartialScores:
    """`$/progress` value: a complete view over the targets finished so far.

    Each replaces the one before; row 0 is the whole of what is finished.
    """

    kind: Literal["scores"] = "scores"
    continuation: str
    view: AttributionView
    targets_total: int


ProgressValue = WorkProgress | PartialPrompt | PartialContinuation | PartialScores


@attrs.frozen(kw_only=True)
class ProgressParams:
    """`$/progress`: news about a running request, under the token that the request named."""

    token: ProgressToken
    value: ProgressValue
