"""A result as the page that is shown of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.result import AttributeContextOutput, CCIOutput
from am_inseq.context.selection import select
from am_inseq.context.template import Range
from am_inseq.errors import InputError
from am_inseq.render.context_text import ContextPage, Line, Mark, Stretch, number

_NOTHING = "No token is context-sensitive at this threshold; a lower one selects more."


def page_of(found: AttributeContextOutput) -> ContextPage:
    """Everything that is shown of a result.

    Raises:
        InputError: it was saved without the arguments, which name the thresholds.
    """
    args = found.info
    if args is None or found.cti_scores is None:
        raise InputError(
            "this result holds no arguments, so its thresholds are not known; make it with "
            "add_output_info=True"
        )
    chosen = select(
        found.cti_scores, args.context_sensitivity_std_threshold, args.context_sensitivity_topk
    )
    bound = f"CTI > {number(chosen.threshold)}"
    names = {
        "Input context": found.input_context,
        "Input current": args.input_current_text,
        "Output context": found.output_context,
        "Output current": found.output_current,
    }
    direction = ", as inseq takes it" if args.kl_direction == "inseq" else ""
    metric = args.context_sensitivity_metric
    every = {index: found.cti_scores[index] for index in range(len(found.cti_scores))}
    return ContextPage(
        cues=_comment(args.attribution_std_threshold, args.attribution_topk),
        targets=_comment(args.context_sensitivity_std_threshold, args.context_sensitivity_topk),
        how=(
            metric + (direction if metric == "kl_divergence" else ""),
            args.attribution_method,
            args.attributed_fn or "probability",
        ),
        texts=tuple((name, text) for name, text in names.items() if text is not None),
        output=Line(
            "Generated output", bound, _stretches(found, "output_current", every, chosen.indices)
        ),
        cases=tuple(_case(found, args, one, bound) for one in found.cci_scores),
        notes=() if found.cci_scores else (_NOTHING,),
    )


def _comment(deviations: float | int | None, top_k: int | None) -> str:
    """How tokens are selected, in inseq's words."""
    said = [f"std λ={deviations:.2f}"] if deviations else []
    said += [f"top {top_k}"] if top_k else []
    return ", ".join(said) or "all"


def _case(
    found: AttributeContextOutput, args: AttributeContextArgs, one: CCIOutput, bound: str
) -> tuple[Line, ...]:
    """The output with the sensitive token, and the contexts with its cues."""
    target = _stretches(
        found, "output_current", {one.cti_idx: one.cti_score}, {one.cti_idx}, mark="target"
    )
    lines = [Line("Generated output", bound, target)]
    cues = select(one.all_scores, args.attribution_std_threshold, args.attribution_topk)
    shift = 0
    for name in ("input_context", "output_context"):
        scores: list[float] | None = getattr(one, f"{name}_scores")
        if scores is None:
            continue
        marked = {index - shift for index in cues.indices if 0 <= index - shift < len(scores)}
        by_index = dict(enumerate(scores))
        lines.append(
            Line(
                name.replace("_", " ").capitalize(),
                f"CCI > {number(cues.threshold)}",
                _stretches(found, name, by_index, marked, mark="cue"),
            )
        )
        shift += len(scores)
    return tuple(lines)


def _stretches(
    found: AttributeContextOutput,
    name: str,
    scores: dict[int, float],
    marked: Collection[int],
    mark: Mark = "target",
) -> tuple[Stretch, ...]:
    """All of a text, with the scores of its tokens; tokens of one character stand together."""
    text: str = getattr(found, name) or ""
    places = found.ranges.get(name)
    if places is None:
        places = _guessed(text, getattr(found, f"{name}_tokens") or ())
    made: list[Stretch] = []
    taken = 0
    for (start, end), members in _grouped(places):
        if start > taken:
            made.append(Stretch(text[taken:start]))
        own = [index for index in members if index in scores]
        best = max(own, key=lambda index: abs(scores[index]), default=None)
        points = any(index in marked for index in own)
        score = None if best is None else scores[best]
        made.append(Stretch(text[max(start, taken) : end], score, mark if points else None))
        taken = max(taken, end)
    made.append(Stretch(text[taken:]))
    return tuple(one for one in made if one.text)


def _grouped(places: Sequence[Range]) -> list[tuple[Range, list[int]]]:
    """Places that share a character as one, with the tokens there."""
    groups: list[tuple[Range, list[int]]] = []
    for index, (start, end) in enumerate(places):
        if groups and start < groups[-1][0][1]:
            first, last = groups[-1][0]
            groups[-1] = ((first, max(last, end)), [*groups[-1][1], index])
        else:
            groups.append(((start, end), [index]))
    return groups


def _guessed(text: str, pieces: Sequence[str]) -> list[Range]:
    """Where the tokens of a file without ranges stand, by their spelling."""
    from am_inseq.models.text import align_pieces  # loads torch, which other files do not need

    surfaces = [one.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n") for one in pieces]
    return list(align_pieces(text, surfaces))
