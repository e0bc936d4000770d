"""Answers evaluations: which module computes what."""

from __future__ import annotations

from typing import Any

from am_inseq.core.evaluation import (
    Attentions,
    Contributions,
    Embed,
    Evaluation,
    Nearest,
    Peers,
    Progress,
    Run,
    Scores,
    SiteContributions,
    Tell,
    ValueZeroing,
)
from am_inseq.engine.attentions import attentions
from am_inseq.engine.contributions import folded
from am_inseq.engine.members import answer_apart, read_apart
from am_inseq.engine.memory import ONE_ROW, Room, shrinking
from am_inseq.engine.neighbours import embedded, nearest, peers
from am_inseq.engine.programs import run_program
from am_inseq.engine.scoring import scores
from am_inseq.engine.sites import site_contributions
from am_inseq.engine.state import Evaluator
from am_inseq.engine.zeroing import zeroed


def answer(evaluator: Evaluator, asked: Evaluation) -> Any:
    """The answer to `asked`, within the budget that is left; see its class for the shape."""
    _read_reference(evaluator, asked)
    parts = read_apart(evaluator.model, evaluator.task)
    if len(parts) == 1:
        return _answer(evaluator, asked)
    return answer_apart(evaluator, parts, asked, _answer)


def _read_reference(evaluator: Evaluator, asked: Evaluation) -> None:
    """Lets the guard read the model by its own kernel, before another one is set.

    What reads attention itself makes the reference, where its kernel was seen to give the same.
    """
    alike = evaluator.model.capabilities().kernels_alike
    switches = isinstance(asked, Contributions | SiteContributions | Run)
    shows = isinstance(asked, Attentions | ValueZeroing) and not alike
    if evaluator.guard is not None and (switches or shows):
        _ = evaluator.guard.logits


def _answer(evaluator: Evaluator, asked: Evaluation) -> Any:  # noqa: C901, PLR0911, PLR0912 - one a case
    room = evaluator.room
    match asked:
        case Scores():
            return shrinking(lambda smaller: scores(evaluator, asked, smaller), room)
        case Contributions():
            return shrinking(lambda smaller: folded(evaluator, asked, smaller), room)
        case Attentions():
            return shrinking(lambda _smaller: attentions(evaluator, asked), Room(ONE_ROW))
        case SiteContributions():
            return shrinking(lambda smaller: site_contributions(evaluator, asked, smaller), room)
        case ValueZeroing():
            return shrinking(lambda smaller: zeroed(evaluator, asked, smaller), room)
        case Nearest():
            return nearest(evaluator, asked)
        case Peers():
            return peers(evaluator, asked)
        case Embed():
            return embedded(evaluator, asked)
        case Run():
            return run_program(evaluator, asked)
        case Progress():
            evaluator.meter.come(asked.share)
        case Tell():
            if asked.sentence not in evaluator.notes:
                evaluator.notes.append(asked.sentence)
    return None
