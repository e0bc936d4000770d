"""An attribution as a view: spans of text with values, shares, intensities and ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from am_inseq.core.attribution import Attribution
from am_inseq.core.tokens import MERGED, Token
from am_inseq.core.view import Matrix, View, ViewSpan, ViewTarget
from am_inseq.scores import SCORES


def make_view(attribution: Attribution) -> View:
    """The primary block of `attribution`, ready to be shown.

    Tokens that share a user-visible character share a span, whose value is the sum of theirs.
    Row 0 is the whole output: the sum over targets where values are signed, else the mean of the
    targets' shares. In row 0 only prompt spans carry a score, in the others earlier
    continuation spans do too.

    Args:
        attribution: with a (target, token) primary block.

    Returns:
        plain numbers; see `View`.
    """
    spans = _spans(attribution)
    values = attribution.values.double()  # (target, token)
    merged = torch.stack([values[:, list(span.tokens)].sum(-1) for span in spans], dim=-1)
    before = torch.tensor(
        [
            [span.tokens[0] < target or (target in span.tokens and is_merged) for span in spans]
            for target, is_merged in _with_inner(attribution)
        ]
    )
    in_prompt = torch.tensor([span.part == "prompt" for span in spans])
    per_target = merged.masked_fill(~before, 0.0)
    shares = _shares(per_target, before)
    overall = per_target.sum(0) if attribution.is_signed else shares.mean(0)
    rows = torch.cat([overall.masked_fill(~in_prompt, 0.0)[None], per_target])
    can_matter = torch.cat([in_prompt[None], before])
    return View(
        method=attribution.method,
        score=attribution.score,
        unit=attribution.unit,
        is_signed=attribution.is_signed,
        spans=spans,
        targets=_targets(attribution),
        values=_matrix(rows),
        shares=_matrix(_shares(rows, can_matter)),
        intensities=_matrix(_intensities(rows, can_matter)),
        ranks=tuple(tuple(int(x) for x in row) for row in _ranks(rows, can_matter).tolist()),
    )


def keep_spans(view: View, wanted: Callable[[ViewSpan], bool]) -> View:
    """The view with the columns of some spans only."""
    kept = [index for index, span in enumerate(view.spans) if wanted(span)]
    return replace(
        view,
        spans=tuple(view.spans[index] for index in kept),
        values=tuple(tuple(row[index] for index in kept) for row in view.values),
        shares=tuple(tuple(row[index] for index in kept) for row in view.shares),
        intensities=tuple(tuple(row[index] for index in kept) for row in view.intensities),
        ranks=tuple(tuple(row[index] for index in kept) for row in view.ranks),
    )


def _with_inner(attribution: Attribution) -> list[tuple[int, bool]]:
    """Targets, and whether tokens were merged in them: the earlier ones made the later ones."""
    return [(place, attribution.tokens[place].id == MERGED) for place in attribution.targets]


def _spans(attribution: Attribution) -> tuple[ViewSpan, ...]:
    """Tokens with equal ranges as one span; tokens without text join the span after them."""
    spans: list[ViewSpan] = []
    waiting: list[int] = []
    for place, token in enumerate(attribution.tokens):
        if token.part == "special":
            spans.append(ViewSpan(token.text, "special", -1, -1, (place,)))
            continue
        if token.start == token.end:
            waiting.append(place)
            continue
        last = spans[-1] if spans else None
        if last and (last.part, last.start, last.end) == (token.part, token.start, token.end):
            tokens = (*last.tokens, *waiting, place)
            spans[-1] = ViewSpan(last.text, last.part, last.start, last.end, tokens)
        else:
            tokens = (*waiting, place)
            spans.append(ViewSpan(token.text, token.part, token.start, token.end, tokens))
        waiting = []
    for place in waiting:
        token = attribution.tokens[place]
        spans.append(ViewSpan(token.piece, "special", -1, -1, (place,)))
    return tuple(spans)


def _targets(attribution: Attribution) -> tuple[ViewTarget, ...]:
    spans = attribution.spans or [(place, place + 1) for place in attribution.targets]
    is_contrastive = attribution.score in SCORES and SCORES[attribution.score].needs_contrast
    none = (None,) * len(spans)  # beside a score that does not look at it, it would mislead
    partners = (attribution.contrast or none) if is_contrastive else none
    each = zip(spans, attribution.probabilities, partners, strict=True)
    return tuple(_target(attribution, *one) for one in each)


def _target(
    attribution: Attribution, span: tuple[int, int], probability: float, partner: Token | None
) -> ViewTarget:
    """One target; of a span, the text from its first token to its last."""
    tokens = attribution.tokens[span[0] : span[1]]
    text, start, end = tokens[-1].text, tokens[-1].start, tokens[-1].end
    written = [token for token in tokens if token.start >= 0]
    if len(tokens) > 1 and written:
        start, end = written[0].start, written[-1].end
        text = attribution.continuation[start:end]
    contrast = partner.text if partner is not None and partner.text != text else ""
    return ViewTarget(text, start, end, span[1] - 1, probability, contrast)


def _shares(rows: Tensor, can_matter: Tensor) -> Tensor:
    size = rows.abs().masked_fill(~can_matter, 0.0)
    whole = size.sum(-1, keepdim=True)
    return torch.where(whole > 0, size / whole, torch.zeros_like(size))


def _intensities(rows: Tensor, can_matter: Tensor) -> Tensor:
    kept = rows.masked_fill(~can_matter, 0.0)
    largest = kept.abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, kept / largest, torch.zeros_like(kept))


def _ranks(rows: Tensor, can_matter: Tensor) -> Tensor:
    size = rows.abs().masked_fill(~can_matter, -1.0)
    order = size.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.empty_like(order)
    places = torch.arange(1, rows.shape[-1] + 1).expand_as(order).contiguous()
    ranks.scatter_(-1, order, places)
    return ranks.masked_fill(~can_matter, 0)


def _matrix(rows: Tensor) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in rows.tolist())
