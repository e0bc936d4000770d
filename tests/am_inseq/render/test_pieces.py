"""Texts cut into pieces: nothing is lost, each piece knows its span and its generated token."""

from dataclasses import replace

import pytest

from am_inseq.core.view import ViewTarget
from am_inseq.render.differences import spelled
from am_inseq.render.heatmap import Passage, heatmap_text, passage
from am_inseq.render.pieces import harmless, pieces, replaced, wrapped


def shown(some):
    return "".join(piece.text for piece in some if not piece.is_special)


@pytest.mark.parametrize("prompt", ["George was sick", "東京 で\n\n  👩‍👩‍👧 hi", "a\t\tb  c ", ""])
def test_pieces_make_up_the_texts(make_view, prompt):
    view = make_view(prompt, (" to", " the", "."))
    texts = Passage(prompt, " to the.")

    before, after = pieces(view, texts)

    assert shown(before) == prompt
    assert shown(after) == " to the."
    assert [piece.target for piece in after if piece.target >= 0] == [0, 1, 2]
    for piece in before:
        if piece.column >= 0 and not piece.is_special:
            assert piece.text == view.spans[piece.column].text


def test_special_tokens_stand_where_they_were_read(make_view):
    view = make_view("a b", (" c",))
    end = ViewTarget("</s>", -1, -1, len(view.spans), 0.5)
    ended = replace(view, targets=(*view.targets, end))

    before, after = pieces(ended, passage(view))

    assert (before[0].text, before[0].is_special, before[0].column) == ("<s>", True, 0)
    assert (after[-1].text, after[-1].is_special, after[-1].target) == ("</s>", True, 1)


def test_spans_coarser_than_generated_tokens_are_cut_at_these(make_view):
    view = make_view("a", (" b", " c", " d"))
    first = next(i for i, span in enumerate(view.spans) if span.part == "continuation")
    coarse = replace(view.spans[first], text=" b c d", end=6)
    cut = replace(view, spans=(*view.spans[:first], coarse))

    _, after = pieces(cut, Passage("a", " b c d"))

    assert [(p.text, p.column, p.target) for p in after] == [
        (" b", first, 0),
        (" c", first, 1),
        (" d", first, 2),
    ]


def test_where_two_texts_differ_both_are_shown(make_view):
    view = make_view("he ran", (" home",))
    spans = tuple(
        replace(span, text="he → she") if span.text == "he" else span for span in view.spans
    )

    targets = (replace(view.targets[0], text=" home →  away"),)
    spans = (*spans[:-1], replace(spans[-1], text=" home →  away"))
    changed, texts = spelled(replace(view, spans=spans, targets=targets), passage(view))
    before, after = pieces(changed, texts)

    assert shown(before) == "he → she ran"
    assert [(p.text, p.target) for p in after] == [(" home → away", 0)]
    assert before[-1].text == " ran"
    assert heatmap_text(changed, 0, texts=texts).plain == "he → she ran\n→ home → away"
    assert spelled(view, passage(view)) == (view, passage(view))


def test_lines_end_where_asked(make_view):
    view = make_view("a b, c d", (" e",))
    before, _ = pieces(view, passage(view))

    def ends(after):
        return [piece.text for piece, is_end in wrapped(before, after) if is_end]

    assert ends(None) == []
    assert ends(2) == ["a", " c"]  # <s> counts
    assert ends("b,") == [" b,"]
    assert ends([" c", "a"]) == ["a", " c"]


def test_characters_are_replaced_everywhere(make_view):
    view = make_view("xGx", (" G",))
    before, after = pieces(view, passage(view))

    assert shown(replaced(before, {"x": "", "G": "Ġ"})) == "Ġ"
    assert shown(replaced(after, {"G": "_"})) == " _"


def test_control_characters_are_made_visible_and_breaks_stay():
    assert harmless("a\r\nb\t\x1b\u202e") == "a\nb\t␛\ufffd"
