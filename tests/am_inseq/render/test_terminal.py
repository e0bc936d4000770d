"""Terminal rendering: what is printed, how wide it is, and what colours carry."""

from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.style import Style

from am_inseq.render.glyphs import glyph, label
from am_inseq.render.palette import BACKGROUNDS
from am_inseq.render.table import Layout, panels, scale_of, shown_spans, table
from am_inseq.render.terminal import (
    Passage,
    Showing,
    heatmap_text,
    legend,
    print_view,
    strongest,
    token_rows,
)

PLAIN_SICK = """\
George was sick yesterday. His colleagues asked him to come
→ to the hospital.

strongest: <s> 13%, His 13%, to 13%, asked 12%, was 8%
bold ≥ 60 % and underlined ≥ 20 % of the strongest score
"""
PLAIN_TABLE = """\
nats             all    from barking
────────────────────────────────────
<s>            0.700   0.500   0.200
Stop          -1.111  -0.111  -1.000
the            0.325   0.200   0.125
dog            1.250   1.000   0.250
────────────────────────────────────
from                          -0.091
────────────────────────────────────
probability            0.500   0.333
entropy                 0.50   12.25
"""
MIXED = "東京 で 会う\r\n👩‍👩‍👧 said\thi to Zoe\u0301 नमस्ते\n\n  end"
EVERYTHING = Showing(parts=("text", "tokens", "table"), max_spans=0)


def printed(console):
    return console.file.getvalue()


def widest(console):
    return max(cell_len(line) for line in printed(console).splitlines())


def test_the_text_view_is_exactly_this(make_view, record):
    console = record(colours=None)

    print_view(console, make_view(), layout=Layout(theme=None), showing=Showing(parts=("text",)))

    assert printed(console) == PLAIN_SICK


def test_the_table_is_exactly_this(make_view, record):
    console = record(colours=None)
    view = make_view("Stop the dog", (" from", " barking"), is_signed=True)

    for panel in panels(view, layout=Layout(theme=None, step_scores={"entropy": (0.5, 12.25)})):
        console.print(panel)

    assert printed(console) == PLAIN_TABLE


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("width", [40, 80, 137])
@pytest.mark.parametrize("prompt", [MIXED, "word " * 120, "很" * 90, "x" * 300])
def test_no_line_is_wider_than_the_terminal(make_view, record, is_signed, width, prompt):
    console = record(width, colours=None)
    answer = (*(f" 答え{number}" for number in range(23)), " " + "long" * 12)
    view = make_view(prompt, answer, is_signed=is_signed)

    print_view(
        console,
        view,
        layout=Layout(width=width, theme=None, step_scores={"probability_of_it": (1e-9,) * 24}),
        showing=EVERYTHING,
    )

    assert widest(console) <= width


def test_wide_and_combined_characters_keep_the_columns_aligned(make_view, record):
    console = record(colours=None)

    console.print(table(make_view(MIXED, (" ok",)), layout=Layout(theme=None)))

    lines = [line for line in printed(console).splitlines() if "%" in line]
    ends = {cell_len(line[: line.index("%")]) for line in lines}
    assert len(lines) > 8
    assert len(ends) == 1


def test_every_span_and_every_token_appears_in_some_panel(make_view, record):
    console = record(colours=None)
    prompt = " ".join(f"w{number}" for number in range(95))
    view = make_view(prompt, tuple(f" t{number}" for number in range(30)))

    tables = list(panels(view, layout=Layout(theme=None, page_rows=40)))
    for panel in tables:
        console.print(panel)

    words = printed(console).split()
    assert len(tables) > 6
    assert {f"w{number}" for number in range(95)} <= set(words)
    assert {f"t{number}" for number in range(30)} <= set(words)


@pytest.mark.parametrize(
    ("is_signed", "quantity", "unit", "first"),
    [
        (True, "auto", "nats", ["-1.111", "-0.111", "-1.000"]),
        (True, "shares", "share", ["-32.8%", "-6.1%", "-60.0%"]),
        (False, "auto", "share", ["34.0%", "6.1%", "60.0%"]),
        (False, "values", "nats", ["34.0%", "0.111", "1.000"]),
    ],
)
def test_cells_are_values_where_signed_and_shares_where_not(
    make_view, record, is_signed, quantity, unit, first
):
    console = record(colours=None)
    view = make_view("Stop the dog", (" from", " barking"), is_signed=is_signed)

    console.print(table(view, layout=Layout(theme=None, quantity=quantity)))

    head, _, _, row, *_ = printed(console).splitlines()
    assert head.split()[0] == unit
    assert row.split() == ["Stop", *first]


def test_a_long_map_shows_its_strongest_spans_and_says_what_is_left_out(make_view, record):
    console = record(colours=None)
    view = make_view(" ".join(f"w{number}" for number in range(95)))

    print_view(
        console, view, layout=Layout(theme=None), showing=Showing(parts=("table",), max_spans=10)
    )

    kept = shown_spans(view, 10)
    assert len(kept) == 10
    assert list(kept) == sorted(kept)
    assert view.ranks[0].index(1) in kept
    left_out = len(shown_spans(view)) - 10
    assert f"{left_out} more spans" in printed(console)


def test_a_table_of_many_generated_tokens_shows_the_first_and_says_so(make_view, record):
    console = record(colours=None)
    view = make_view("a b", tuple(f" t{number}" for number in range(30)))

    print_view(
        console,
        view,
        layout=Layout(theme=None, step_scores={"entropy": tuple(map(float, range(30)))}),
        showing=Showing(parts=("table",), max_spans=0, max_targets=12, advice="; more so"),
    )

    heads = {word for word in printed(console).split() if word[0] == "t" and word[1:].isdigit()}
    assert "18 of 30 generated tokens are not shown; more so" in printed(console)
    assert {f"t{number}" for number in range(12)} <= heads
    assert "11.00" in printed(console)


def test_the_background_of_the_prompt_follows_the_row(make_view, record):
    view = make_view(is_signed=True)
    text = heatmap_text(view, 2, theme="light")

    span = view.spans[view.ranks[2].index(1)]
    styles = {
        str(Style.parse(str(run.style)).bgcolor)
        for run in text.spans
        if run.start <= text.plain.index(span.text.strip()) < run.end
    }
    hue = "orange" if view.values[2][view.ranks[2].index(1)] > 0 else "blue"
    assert len(styles) == 1
    assert BACKGROUNDS["light"][hue][-1] in styles.pop()


def test_unsigned_views_never_use_blue(make_view, record):
    console = record()

    print_view(console, make_view(), layout=Layout(theme="dark"), showing=EVERYTHING)

    blues = [colour.lstrip("#") for colour in BACKGROUNDS["dark"]["blue"]]
    codes = [";".join(str(int(c[at : at + 2], 16)) for at in (0, 2, 4)) for c in blues]
    assert "48;2;" in printed(console)
    assert not any(f"48;2;{code}" in printed(console) for code in codes)


def test_without_colours_strength_is_underline_and_bold(make_view, record):
    console = record()

    print_view(console, make_view(), layout=Layout(theme=None), showing=EVERYTHING)

    assert "48;2;" not in printed(console)
    assert "\x1b[1;4m was" in printed(console)


def test_without_colours_digits_behind_the_tokens_carry_strength_and_sign(make_view):
    view = make_view("Stop the\ndog", (" from", " barking"), is_signed=True)

    text = heatmap_text(view, 2, theme=None, digits=True)

    # 0.75 against, 0.27, 0.43, 1 against, 0.3 of the strongest
    assert text.plain == "Stop⁻⁴ the²⏎³\ndog⁻⁵\n→ from² barking"


def test_the_explained_token_stands_out_and_later_ones_are_dim(make_view):
    text = heatmap_text(make_view(), 3, theme=None)

    runs = [(text.plain[run.start : run.end], Style.parse(str(run.style))) for run in text.spans]
    reversed_runs = [shown for shown, style in runs if style.reverse]
    dim_runs = [shown for shown, style in runs if style.dim]
    assert reversed_runs == [" hospital"]
    assert dim_runs[-1] == "."


def test_line_ends_of_both_kinds_are_one_mark_and_one_break(make_view):
    text = heatmap_text(make_view("one\r\ntwo\nthree"), theme="dark")

    assert text.plain.splitlines()[:3] == ["one⏎", "two⏎", "three"]


def test_gaps_between_spans_come_from_the_exact_text(make_view):
    view = make_view("a  b")
    texts = Passage(prompt="a\t\tb", continuation=" c")

    assert heatmap_text(view, texts=texts, theme="dark").plain == "a⇥   ⇥   b\n→ c"


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\x1b", "␛"),
        ("\x07", "␇"),
        ("\x7f", "␡"),
        ("\x9b", "\ufffd"),
        ("\u202e", "\ufffd"),
        ("\ud800", "\ufffd"),
        ("\u200d", "\u200d"),
        ("é", "é"),
        ("\u00a0", "\u00a0"),
    ],
)
def test_control_characters_cannot_reach_the_terminal(character, shown):
    assert glyph(character) == shown


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        (" home", 24, "home"),
        ("\n", 24, "⏎"),
        ("\r\n", 24, "⏎"),
        ("\t", 24, "⇥"),
        ("  ", 24, "␣␣"),
        ("東京都庁", 5, "東京…"),
        ("👩‍👩‍👧👩‍👩‍👧", 3, "👩‍👩‍👧…"),
        ("", 24, ""),
    ],
)
def test_labels_are_one_line_and_never_wider_than_asked(text, cells, shown):
    assert label(text, cells) == shown
    assert cell_len(label(text, cells)) <= cells


@pytest.mark.parametrize(
    ("values", "written", "note"),
    [
        ([0.5, -0.123456], ["0.500", "-0.123"], ""),
        ([12.5, 0.001], ["12.50", "0.00"], ""),
        ([0.0123, -0.00001], ["0.0123", "0.0000"], ""),
        ([-123.456, 1.0], ["-123.5", "1.0"], ""),
        ([-9999.4, 1.0], ["-9999", "1"], ""),
        ([4.2e-7, 1e-8], ["4.20", "0.10"], " ×10⁻⁷"),
        ([1.5e9, -1e8], ["1.50", "-0.10"], " ×10⁹"),
        ([0.0, 0.0], ["0.000", "0.000"], ""),
        ([float("nan"), 1.0], ["nan", "1.000"], ""),
    ],
)
def test_numbers_share_one_scale_and_never_show_minus_zero(values, written, note):
    scale = scale_of(values)

    assert [scale.write(value) for value in values] == written
    assert scale.note() == note
    assert all(len(text) <= 7 for text in written)


def test_the_power_of_ten_of_a_step_score_is_shown_however_long_its_name(make_view, record):
    console = record(colours=None)
    targets = len(make_view().targets)
    scores = {"a_long_name_of_a_score": tuple(4.2e-7 for _ in range(targets))}

    print_view(
        console,
        make_view(),
        layout=Layout(theme=None, step_scores=scores),
        showing=Showing(parts=("table",)),
    )

    line = next(line for line in printed(console).splitlines() if line.startswith("a_lo"))
    assert "×10⁻⁷" in line
    assert "4.20" in line
    assert widest(console) <= 80


def test_the_legend_names_both_ends_where_scores_are_signed(make_view):
    signed, unsigned = make_view(is_signed=True), make_view()

    assert legend(signed).plain.startswith("against ")
    assert " for" in legend(signed).plain
    assert "against" not in legend(unsigned).plain
    assert all(cell_len(legend(view).plain) <= 80 for view in (signed, unsigned))
    assert legend(signed, theme=None).plain.startswith("bold")
    assert "⁻ speaks against" in legend(signed, theme=None, digits=True).plain
    assert cell_len(legend(signed, theme=None, digits=True).plain) <= 80


def test_the_strongest_spans_are_named_with_their_sign(make_view):
    named = strongest(make_view(is_signed=True), limit=30).plain

    assert named.count("%") == 11
    assert " -" in named


def test_spans_without_any_score_are_not_named_the_strongest(make_view):
    view = make_view()
    silent = tuple(tuple(0.0 for _ in row) for row in view.values)

    assert strongest(replace(view, values=silent)).plain == "none"


def test_token_rows_show_one_prompt_for_each_generated_token(make_view, record):
    console = record(colours=None)

    console.print(token_rows(make_view(), theme="dark"))

    lines = printed(console).splitlines()
    assert sum("George was sick" in line for line in lines) == 4
    assert [line.split()[0] for line in lines if "George" in line] == ["to", "the", "hospital", "."]


def test_a_target_without_text_colours_the_whole_answer(make_view, record):
    view = make_view()
    end = replace(view.targets[-1], text="</s>", start=-1, end=-1)
    column = len(view.spans) - 1
    ended = replace(
        view,
        spans=(*view.spans[:-1], replace(view.spans[column], part="special", start=-1, end=-1)),
        targets=(*view.targets[:-1], end),
    )
    console = record(colours=None)

    text = heatmap_text(ended, 4, theme="dark")
    console.print(token_rows(ended, theme=None))

    answer = text.plain.rindex("→")
    assert any(run.start > answer for run in text.spans)
    assert not any(Style.parse(str(run.style)).reverse for run in text.spans)
    assert printed(console).count("→ to the hospital") == 1


def test_an_empty_answer_is_shown_without_complaint(make_view, record):
    console = record(colours=None)
    view = make_view("hello", ())

    console.print(heatmap_text(view, theme=None))

    assert printed(console).splitlines()[0] == "hello"


def test_long_maps_are_rendered_in_reasonable_time_and_stay_within_the_page(make_view, record):
    console = record(colours=None)
    view = make_view("word " * 750, tuple(f" t{number}" for number in range(40)))

    print_view(console, view, layout=Layout(theme=None), showing=Showing(max_spans=0))

    assert widest(console) <= 80
