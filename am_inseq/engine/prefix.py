"""Rows of ids that begin as the input does: what stands before their first change is read once.

Targets before a row's first change have the input's own scores. Of the others no row is read again
before its change, nor predicted before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.model import Past
from am_inseq.core.specs import BoundScore
from am_inseq.core.task import Task
from am_inseq.core.variants import Replaced, Variant
from am_inseq.engine.inputs import decoder_length, id_rows, predicted_at
from am_inseq.engine.state import Evaluator, measure_members

_PASS: Final = {"cpu": 64}  # tokens that one more pass through the network is worth
_PASS_ELSEWHERE: Final = 1024
_GAIN: Final = 0.8  # of the tokens that would be read otherwise; more is not worth the copies


@dataclass(frozen=True, slots=True)
class Stretch:
    """Variants that are read from one position on.

    Attributes:
        start: a decoder position; no variant changes anything before it.
        indices: which variants.
    """

    start: int
    indices: tuple[int, ...]


def stretches(evaluator: Evaluator, variants: Sequence[Variant], rows: int) -> tuple[Stretch, ...]:
    """Device batches of at most so many `rows`; () where they would not pay.

    Variants of embeddings, and those that change the encoder's tokens, are in none of them.
    """
    task = evaluator.task
    firsts = _first_changes(task, variants)
    worth = _PASS.get(task.ids.device.type, _PASS_ELSEWHERE)
    length = decoder_length(task)
    found: list[Stretch] = []
    spare = tokens = 0
    for index in sorted(firsts, key=firsts.__getitem__):
        first = min(firsts[index], length)
        more = first - found[-1].start if found else 0
        if found and len(found[-1].indices) < rows and spare + more <= worth:
            spare += more
            found[-1] = Stretch(found[-1].start, (*found[-1].indices, index))
        else:
            spare = 0
            found.append(Stretch(first, (index,)))
        tokens += length - found[-1].start
    whole = length * len(firsts) + worth * -(-len(firsts) // rows)
    pays = length + tokens + worth * (1 + len(found)) < _GAIN * whole
    return tuple(found) if pays and evaluator.model.can_read_on() else ()


def _first_changes(task: Task, variants: Sequence[Variant]) -> dict[int, int]:
    """The decoder position of the first change of each variant that leaves the encoder alone."""
    firsts: dict[int, int] = {}
    for index, variant in enumerate(variants):
        if isinstance(variant, Replaced):
            first = min(variant.tokens, default=len(task.ids)) - task.encoder
            if first >= 0:
                firsts[index] = first
    return firsts


def read_stretches(
    evaluator: Evaluator,
    variants: Sequence[Variant],
    measured: Sequence[BoundScore],
    found: Sequence[Stretch],
    answer: Float[Tensor, "score variant target"],
) -> None:
    """Fills in the scores of every variant of `found`."""
    task = evaluator.task
    at = predicted_at(task)
    evaluator.checkpoint()
    evaluator.meter.forward_tokens += int(task.targets[-1])
    read, past = evaluator.model.read_once(id_rows(task, [Replaced()]), at)
    seen = evaluator.seen([Replaced()])
    own = [measure_members(task, score, read.logits, seen=seen) for score in measured]
    for stretch in found:
        evaluator.checkpoint()
        some = [cast("Replaced", variants[index]) for index in stretch.indices]
        skipped = int((at < stretch.start).sum())
        tables = [one.expand(len(some), -1).to(answer.dtype).clone() for one in own]
        if skipped < len(at):
            logits = _read_on(evaluator, some, past, stretch.start)
            chosen, seen = slice(skipped, None), evaluator.seen(some)
            for table, score in zip(tables, measured, strict=True):
                table[:, chosen] = measure_members(task, score, logits, chosen, seen).to(table)
        for index, table in enumerate(tables):
            answer[index, list(stretch.indices)] = task.summed(table)
        evaluator.meter.advance(len(some))


def _read_on(
    evaluator: Evaluator, variants: Sequence[Replaced], past: Past, start: int
) -> Float[Tensor, "row member vocab"]:
    """Logits at the members that are predicted at `start` or after."""
    if not start:
        return evaluator.read(variants).logits
    at = predicted_at(evaluator.task)
    rows = id_rows(evaluator.task, variants).decoder[:, start:]
    evaluator.meter.forward_tokens += rows.numel()
    return evaluator.model.read_on(past.until(start), rows, at[at >= start] - start).logits
