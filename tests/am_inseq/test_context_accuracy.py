"""PECoRe's accuracy: counted by hand, and measured on what the demo grammar decides."""

from __future__ import annotations

import random
import sys

import pytest

from am_inseq.context.accuracy import Accuracy, Counts, measure_accuracy
from am_inseq.context.result import AttributeContextOutput, CCIOutput
from am_inseq.demo.pairs_lm import PAIRED, context_pairs
from am_inseq.errors import InputError
from tests.tiny.pecore import run

CONTEXT = "Tom was very sick."  # tokens: Tom, was, very, si, ck, .
CONTEXT_PLACES = [(0, 3), (3, 7), (7, 12), (12, 15), (15, 17), (17, 18)]
OUTPUT = "to the hospital."
OUTPUT_PLACES = [(0, 2), (2, 6), (6, 15), (15, 16)]
SICK = (13, 17)
HOSPITAL = (7, 15)


def found(sensitivities, rows):
    """A result with these scores, every token attributed, the strongest first."""
    order = sorted(range(len(rows)), key=lambda index: -sensitivities[index])
    cues = [
        CCIOutput(
            cti_idx=index,
            cti_token="",
            cti_score=sensitivities[index],
            contextual_output="",
            input_context_scores=rows[index],
        )
        for index in order
    ]
    return AttributeContextOutput(
        input_context=CONTEXT,
        output_current=OUTPUT,
        cti_scores=sensitivities,
        cci_scores=cues,
        ranges={"input_context": CONTEXT_PLACES, "output_current": OUTPUT_PLACES},
    )


FLAT = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]  # "." alone
BOTH_PIECES = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
PIECE_AND_NAME = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_both_pieces_of_a_cue_are_one():
    result = found([0.0, 0.0, 3.0, 0.0], [FLAT, FLAT, BOTH_PIECES, FLAT])
    one = Counts(1, 1, 1)
    assert measure_accuracy(result, [(HOSPITAL, [SICK])]) == Accuracy(one, one, one)


def test_a_wrong_token_and_its_cues_are_wrong_together_but_not_alone():
    result = found([3.0, 0.0, 0.0, 0.0], [FLAT, FLAT, PIECE_AND_NAME, FLAT])
    measured = measure_accuracy(result, [(HOSPITAL, [SICK])])
    assert measured.sensitive == Counts(0, 1, 1)
    assert measured.cues == Counts(1, 2, 1)  # of the true token: the cue, and "Tom"
    assert measured.together == Counts(0, 1, 1)  # "." of the wrong one; "sick" is missed
    assert (measured.cues.precision, measured.cues.recall) == (0.5, 1.0)
    assert measured.cues.f1 == pytest.approx(2 / 3)


def test_thresholds_choose():
    result = found([1.0, 0.0, 2.0, 0.0], [FLAT, FLAT, PIECE_AND_NAME, FLAT])
    truth = [(HOSPITAL, [SICK])]
    loose = measure_accuracy(result, truth, cti_deviations=0, cci_deviations=None)
    assert loose.sensitive == Counts(1, 2, 1)
    assert loose.cues == Counts(1, 5, 1)  # every token of the context; "sick" has two


def test_nothing_found_and_nothing_true_are_zero_and_counts_add_up():
    assert (Counts().precision, Counts().recall, Counts().f1) == (0.0, 0.0, 0.0)
    one = Accuracy(Counts(1, 2, 3), Counts(0, 1, 0), Counts(1, 1, 1))
    assert one + Accuracy() == one
    assert (one + one).sensitive == Counts(2, 4, 6)


def test_truth_that_cannot_be_compared_is_refused():
    result = found([0.0, 0.0, 3.0, 0.0], [FLAT, FLAT, BOTH_PIECES, FLAT])
    with pytest.raises(InputError, match="no token at characters 40 to 44"):
        measure_accuracy(result, [((40, 44), [SICK])])
    result.cci_scores.pop()
    with pytest.raises(InputError, match="3 of 4 tokens"):
        measure_accuracy(result, [(HOSPITAL, [SICK])])


# what 60 pairs gave (docs/demo-accuracy.md), less a tenth: F1 of the sensitive tokens, and of the
# truly sensitive tokens' cues
FLOORS = {
    "places": (0.87, 0.8),
    "negation": (0.57, 0.65),
    "translation list": (0.9, 0.52),
    "chat": (0.78, 0.9),
}


@pytest.mark.parametrize("family", PAIRED)
def test_the_default_settings_find_what_the_grammar_decided(family, capsys):
    total = Accuracy()
    for pair in context_pairs(random.Random(29), family, 8):  # noqa: S311
        found = run(
            **pair.asked,
            attributed_fn="contrast_prob_diff",
            context_sensitivity_std_threshold=None,
        )
        assert (found.output_current or "").strip() == pair.output.strip()
        total += measure_accuracy(found, pair.truth)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{family}: CTI F1 {total.sensitive.f1:.2f}, CCI F1 {total.cues.f1:.2f}, "
            f"both {total.together.f1:.2f}\n"
        )
    assert total.sensitive.f1 >= FLOORS[family][0]
    assert total.cues.f1 >= FLOORS[family][1]
