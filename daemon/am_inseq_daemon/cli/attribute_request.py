"""What `am-inseq attribute` asks: from arguments to one request for each text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from am_inseq_daemon.cli.catalogue import check_names
from am_inseq_daemon.cli.failure import Failure
from am_inseq_daemon.cli.options import read_option
from am_inseq_daemon.cli.text_input import read_text
from am_inseq_daemon.protocol.types import Aggregation, AttributionComputeParams

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

NEW_TOKENS: Final = 24
_STDIN: Final = "-"
# Keywords of inseq that hold one entry for each text.
_FOR_EACH: Final = ("contrast_targets", "contrast_sources")


def requests(arguments: argparse.Namespace) -> tuple[AttributionComputeParams, ...]:
    """One request for each text that the arguments name.

    Raises:
        Failure: an argument is wrong in itself.
    """
    texts = _texts(arguments)
    given = vars(arguments)
    forced = _generated(given, len(texts))
    targets = _each(given, "target", len(texts))
    against = _each(given, "contrast_target", len(texts))
    before = _each(given, "contrast_prompt", len(texts))
    shared = _shared(given)
    check_names(methods=[shared["method"]], scores=[shared["score"], *shared["step_scores"]])
    kwargs: dict[str, Any] = given.get("attribution_kwargs", {})
    return tuple(
        AttributionComputeParams(
            prompt=text,
            target=targets[index],
            generated_text=forced[index],
            contrast_target=against[index],
            contrast_prompt=before[index],
            arguments=_own_arguments(kwargs, index, len(texts)),
            **shared,
        )
        for index, text in enumerate(texts)
    )


def aggregation(given: Mapping[str, Any]) -> Aggregation | None:
    """How values are to be aggregated, where the arguments say anything of it.

    Raises:
        Failure: the arguments contradict each other.
    """
    made = Aggregation(
        aggregators=tuple(given.get("attribution_aggregators", ())),
        selectors=tuple(given.get("attribution_selectors", ())),
        normalize=given.get("normalize_attributions", False),
        rescale=given.get("rescale_attributions", False),
    )
    if made.normalize and made.rescale:
        raise Failure(
            "scores are normalized or rescaled, not both; leave out --normalize-attributions or "
            "--rescale-attributions"
        )
    if made.selectors and len(made.selectors) != len(made.aggregators):
        raise Failure(
            f"there are {len(made.selectors)} --attribution-selectors for "
            f"{len(made.aggregators)} --attribution-aggregators; give one for each"
        )
    return None if made == Aggregation() else made


def _texts(arguments: argparse.Namespace) -> list[str]:
    """Every text, read."""
    free: list[str] = arguments.text
    further: list[str] = getattr(arguments, "input_texts", [])
    if [*free, *further].count(_STDIN) > 1:
        raise Failure("standard input is read once; name it by - once")
    texts = [read_text(one) for one in free]
    texts += [read_text(one) if one == _STDIN else one for one in further]
    if getattr(arguments, "lines", False):
        texts = [line for text in texts for line in text.splitlines() if line.strip()]
    if not texts:
        raise Failure('there is no text; give a prompt, such as am-inseq attribute "…"')
    if not all(text.strip() for text in texts):
        raise Failure('the text is empty; give a prompt, such as am-inseq attribute "…"')
    return texts


def _shared(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are the same for every text."""
    most: int = given.get("max_new_tokens", NEW_TOKENS)
    generation: dict[str, Any] = dict(given.get("generation_kwargs", {}))
    if "max_new_tokens" in given:
        generation["max_new_tokens"] = most
    for flag, value in (("--max-new-tokens", most), ("--batch-size", given.get("batch_size", 1))):
        if value < 1:
            raise Failure(f"{flag} is at least 1, not {value}")
    names: list[str] = given.get("step_scores", [])
    scores = [name.strip() for one in names for name in one.split(",")]
    return {
        "model": given.get("model_name_or_path", "auto"),
        "device": given.get("device", "auto"),
        "method": given.get("attribution_method", "auto"),
        "score": given.get("attributed_fn", "auto"),
        "options": dict(map(read_option, given["option"])),
        "step_scores": tuple(dict.fromkeys(name for name in scores if name)),
        "max_new_tokens": int(generation.get("max_new_tokens") or most),
        "generation": generation,
        "goes_on": given.get("generate_from_target_prefix", False),
        "first": given.get("start_pos"),
        "last": given.get("end_pos"),
        "attribute_target": given.get("attribute_target", True),
        "include_eos_baseline": given.get("include_eos_baseline", False),
        "aggregation": aggregation(given),
        "keep_steps": given.get("output_step_attributions", False),
    }


def _each(given: Mapping[str, Any], name: str, count: int) -> Sequence[str | None]:
    """What a flag gives for each text: the same for all, or one for each."""
    many: list[str] = given.get(name, [])
    if len(many) not in {0, 1, count}:
        flag = name.replace("_", "-")
        raise Failure(f"--{flag} is given {len(many)} times for {count} texts; give one for each")
    return many * count if len(many) == 1 else many or [None] * count


def _generated(given: Mapping[str, Any], count: int) -> Sequence[str | None]:
    many: list[str] = given.get("generated_texts", [])
    if many and len(many) != count:
        raise Failure(f"there are {len(many)} --generated-texts for {count} texts; give as many")
    if many and given.get("target"):
        raise Failure("--target and --generated-texts are the same; give one of them")
    if given.get("generate_from_target_prefix") and not (many or given.get("target")):
        raise Failure("--generate-from-target-prefix goes on from --generated-texts; give them")
    return many or [None] * count


def _own_arguments(kwargs: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """The options for one text: of what there is one for each text, its own."""
    own = dict(kwargs)
    for name in _FOR_EACH:
        many = own.get(name)
        if not isinstance(many, list):
            continue
        texts = cast("list[Any]", many)
        if len(texts) != count:
            raise Failure(f"{name} has {len(texts)} texts for {count} texts; give one for each")
        own[name] = texts[index]
    return own
