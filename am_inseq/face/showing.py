"""Attributions shown: in a terminal as text and tables, in a notebook and in files as HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from am_inseq.core.attribution import Attribution
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.display import Figure, display_html, is_notebook
from am_inseq.face.sheets import SequenceLike, attribution_sheet, flat_sheet, granular_sheet
from am_inseq.render.colour_range import with_range
from am_inseq.render.html import framed, page_html
from am_inseq.render.page import Page, Sheet
from am_inseq.render.stdout import (
    show_granular,
    show_heading,
    show_notes,
    show_tokens,
    show_view,
)

MOST_BESIDE: Final = 20
_TITLE: Final = "Attributions"
_TITLE_LENGTH: Final = 60


@runtime_checkable
class OutputLike(Protocol):
    """What is shown of all sequences of one call."""

    @property
    def sequence_attributions(self) -> Sequence[SequenceLike]:
        """One for each text."""
        ...


Showable: TypeAlias = SequenceLike | OutputLike
SliceDims: TypeAlias = Mapping[Any, tuple[int, int]]


def show_attributions(
    attributions: Showable,
    min_val: float | None = None,
    max_val: float | None = None,
    max_show_size: int | None = None,
    show_dim: str | int | None = None,
    slice_dims: SliceDims | None = None,
    display: bool = True,
    return_html: bool = False,
    return_figure: bool = False,
    unit: str | None = None,
) -> str | Figure | None:
    """Shows attributions: the coloured text and a table in a terminal, a page in a notebook.

    Scores with further axes are aggregated by their method's default, unless `show_dim` or
    `slice_dims` ask for one of these axes.

    Args:
        attributions: the output of `attribute` or one of its sequences.
        min_val: the score that has the strongest colour of those that speak against; -max_val by
            default.
        max_val: the score that has the strongest colour of those that speak for; by default each
            token's largest.
        max_show_size: at most so many attributed and so many generated tokens in a terminal's
            table (40 and 24 by default, 0 for all); of scores with further axes, the largest axis
            shown beside the generated tokens.
        show_dim: see `show_granular_attributions`.
        slice_dims: see `show_granular_attributions`.
        display: show it.
        return_html: return the page as text.
        return_figure: return the page as an object that notebooks show.
        unit: token, word, sentence, line, paragraph; of chats message and role. Scores of a unit
            are the sums of its tokens', magnitudes too.

    Returns:
        the page, where asked for.

    Raises:
        InputError: an axis, range or unit that the result does not have.
    """
    if show_dim is not None or slice_dims is not None:
        return show_granular_attributions(
            attributions,
            MOST_BESIDE if max_show_size is None else max_show_size,
            min_val,
            max_val,
            show_dim,
            slice_dims,
            display,
            return_html,
            return_figure,
        )
    sheets = _sheets(attributions, lambda one, title: flat_sheet(one, title, unit))

    def draw(sheet: Sheet) -> None:
        table = sheet.tables[0]
        view = with_range(table.view, min_val, max_val)
        show_view(view, table.step_scores, texts=sheet.texts, max_size=max_show_size)
        show_notes(sheet.notes)

    page = Page(_TITLE, sheets, min_val, max_val)
    return _deliver(page, draw, display, return_html, return_figure)


def show_granular_attributions(
    attributions: Showable,
    max_show_size: int = MOST_BESIDE,
    min_val: float | None = None,
    max_val: float | None = None,
    show_dim: str | int | None = None,
    slice_dims: SliceDims | None = None,
    display: bool = True,
    return_html: bool = False,
    return_figure: bool = False,
) -> str | Figure | None:
    """Shows scores with all their axes: hidden units, layers, heads.

    A page has the matrix with one axis beside the generated tokens and a slider for each of the
    others; a terminal prints a table for each generated token, its strongest entries across.

    Args:
        attributions: the output of `attribute` or one of its sequences, not aggregated.
        max_show_size: the largest axis that stands beside the generated tokens.
        min_val: see `show_attributions`.
        max_val: see `show_attributions`.
        show_dim: the axis beside the generated tokens, whatever its size: "hidden", "layer",
            "head", or inseq's name for it.
        slice_dims: axis to (start, end): only these entries of it.
        display: show it.
        return_html: return the page as text.
        return_figure: return the page as an object that notebooks show.

    Returns:
        the page, where asked for.

    Raises:
        InputError: an axis or range that the scores do not have.
    """
    sheets = _sheets(
        attributions,
        lambda one, title: granular_sheet(
            one, title, most=max_show_size, show_dim=show_dim, ranges=slice_dims
        ),
    )
    page = Page(_TITLE, sheets, min_val, max_val, mode="matrix")
    return _deliver(
        page,
        lambda sheet: _granular(page, sheet, max_show_size),
        display,
        return_html,
        return_figure,
    )


def show_token_attributions(
    attributions: Showable,
    min_val: float | None = None,
    max_val: float | None = None,
    display: bool = True,
    return_html: bool = False,
    return_figure: bool = False,
    replace_char: Mapping[str, str] | None = None,
    wrap_after: int | str | Sequence[str] | None = None,
    step_score_highlight: str | None = None,
) -> str | Figure | None:
    """Shows for each generated token the text before it, coloured by what mattered to it.

    Args:
        attributions: the output of `attribute` or one of its sequences.
        min_val: see `show_attributions`.
        max_val: see `show_attributions`.
        display: show it.
        return_html: return the page as text.
        return_figure: return the page as an object that notebooks show.
        replace_char: characters of tokens to show as others.
        wrap_after: end a line behind every so many tokens, or behind tokens that are one of these
            texts.
        step_score_highlight: name of a step score that colours the generated tokens themselves.

    Returns:
        the page, where asked for.

    Raises:
        InputError: a step score that was not recorded.
    """
    sheets = _sheets(attributions, lambda one, title: flat_sheet(one, title, None))
    for sheet in sheets:
        known = ("probability", *sheet.tables[0].step_scores)
        if step_score_highlight not in (None, *known):
            raise UnknownNameError("step score", step_score_highlight or "", known)
    page = Page(
        _TITLE,
        sheets,
        min_val,
        max_val,
        mode="tokens",
        step_score=step_score_highlight,
        replace=replace_char or {},
        wrap_after=wrap_after,
    )

    def draw(sheet: Sheet) -> None:
        show_tokens(page, _in_range(page, sheet))
        show_notes(sheet.notes)

    return _deliver(page, draw, display, return_html, return_figure)


def to_html(*attributions: Attribution, title: str = _TITLE) -> str:
    """A self-contained page of attributions of one text: by several methods, or by one.

    The page has no network and no other file; all tables of tokens and all units of text of each
    attribution are in it.

    Args:
        attributions: of the same tokens.
        title: the page's.

    Raises:
        InputError: attributions of different texts, or none.
    """
    if not attributions:
        raise InputError("to_html needs an attribution to show")
    return page_html(Page(title, (attribution_sheet(attributions, title),)))


def notebook_html(attributions: Showable) -> str:
    """What a notebook shows of attributions: the page in a frame of its own."""
    html = show_attributions(attributions, display=False, return_html=True)
    return framed(str(html))


def _sheets(
    attributions: Showable, make: Callable[[SequenceLike, str], Sheet]
) -> tuple[Sheet, ...]:
    many: Any = getattr(attributions, "sequence_attributions", None)
    found: list[SequenceLike] = [attributions] if many is None else list(many)  # type: ignore[list-item]
    return tuple(
        make(one, _heading(one, f"{number} of {len(found)}: "))
        for number, one in enumerate(found, start=1)
    )


def _heading(sequence: SequenceLike, place: str) -> str:
    text = " ".join(sequence.attribution.prompt.split())
    return place + (text if len(text) <= _TITLE_LENGTH else text[: _TITLE_LENGTH - 1] + "…")


def _granular(page: Page, sheet: Sheet, most: int) -> None:
    table = sheet.tables[0]
    if table.grid is not None:
        show_granular(page, sheet, most)
    else:
        view = with_range(table.view, page.low, page.high)
        show_view(view, table.step_scores, texts=sheet.texts)
    show_notes(sheet.notes)


def _in_range(page: Page, sheet: Sheet) -> Sheet:
    """The sheet with its first table in the colours of the page's range."""
    first = sheet.tables[0]
    coloured = replace(first, view=with_range(first.view, page.low, page.high))
    return replace(sheet, tables=(coloured, *sheet.tables[1:]))


def _deliver(
    page: Page,
    draw: Callable[[Sheet], None],
    display: bool,
    return_html: bool,
    return_figure: bool,
) -> str | Figure | None:
    """Shows a page where that is possible best, and returns what was asked for."""
    in_notebook = display and is_notebook()
    html = page_html(page) if return_html or return_figure or in_notebook else ""
    if in_notebook:
        display_html(html)
    elif display:
        for sheet in page.sheets:
            if len(page.sheets) > 1:
                show_heading(sheet.title)
            draw(sheet)
    if return_html:
        return html
    return Figure(html) if return_figure else None
