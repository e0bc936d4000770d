"""Where the keywords of `AttributionModel.attribute` go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from am_inseq.core.specs import MethodSpec, ScoreSpec
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.methods import METHODS
from am_inseq.scores import SCORES

_OF_GENERATION: Final = (
    "do_sample",
    "max_length",
    "max_new_tokens",
    "min_new_tokens",
    "num_beams",
    "num_return_sequences",
    "repetition_penalty",
    "temperature",
)


def route(
    given: Mapping[str, Any],
    method: MethodSpec,
    score: ScoreSpec,
    step_scores: Sequence[ScoreSpec],
    also: Iterable[str] = (),
) -> dict[str, Any]:
    """Options by where they go; one may go to several, as in inseq.

    `attribution_args`, `attributed_fn_args` and `step_scores_args` name their takers themselves and
    win over plain keywords. The last holds options for every score that has them, or a dictionary
    for each score by its name.

    Args:
        given: the keywords.
        method: the method of this call.
        score: the explained score.
        step_scores: the recorded scores.
        also: keywords that are taken elsewhere, for the suggestion of a near name.

    Raises:
        UnknownNameError: an option that nobody takes.
        InputError: explicit options that are no dictionary.
    """
    plain = dict(given)
    explicit = {
        name: _dictionary(name, plain.pop(name, None))
        for name in ("attribution_args", "attributed_fn_args", "step_scores_args")
    }
    takers = {"options": _names(method), "score_options": _names(score)}
    recorded = {one.name: _names(one) for one in step_scores}
    taken = set().union(*takers.values(), *recorded.values())
    for name in plain:
        if name not in taken:
            known = taken | set(also) | set(explicit)
            raise UnknownNameError("option", name, known, _elsewhere(name, method))
    own = {
        "options": explicit["attribution_args"],
        "score_options": explicit["attributed_fn_args"],
    }
    return {
        **{where: {**_some(plain, names), **own[where]} for where, names in takers.items()},
        "step_score_options": _recorded(plain, recorded, explicit["step_scores_args"]),
    }


def _elsewhere(name: str, method: MethodSpec) -> str | None:
    """Where an option belongs that is none here, or None if nowhere."""
    if name in _OF_GENERATION:
        return f"it is for generation: generation_args={{{name!r}: …}}"
    owners, scores = owners_of(name, METHODS), owners_of(name, SCORES)
    if owners:
        return f"{method.name} has none, but {owners}"
    return f"it belongs to the score {scores}" if scores else None


def owners_of(option: str, table: Mapping[str, MethodSpec | ScoreSpec]) -> str:
    """Names of the methods or scores that have an option, "" where none has."""
    return ", ".join(one.name for one in table.values() if option in _names(one))


def _names(spec: MethodSpec | ScoreSpec) -> set[str]:
    return {option.name for option in spec.options}


def _some(given: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in names}


def _dictionary(name: str, given: Any) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"{name} takes a dictionary of options, not {type(given).__name__}")
    return dict(given or {})


def _recorded(
    plain: Mapping[str, Any], recorded: Mapping[str, set[str]], explicit: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Options of each recorded score by its name."""
    known = set(recorded).union(*recorded.values())
    for name in explicit:
        if name not in known:
            raise UnknownNameError("option of step_scores_args", name, known)
    shared = {k: v for k, v in explicit.items() if k not in recorded}
    return {
        name: {
            **_some(plain, names),
            **_some(shared, names),
            **_dictionary(f"step_scores_args[{name!r}]", explicit.get(name)),
        }
        for name, names in recorded.items()
    }
