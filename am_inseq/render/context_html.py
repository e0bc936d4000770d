"""Which tokens depend on a context and on what there, as one page that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import Final

from am_inseq.render.context_text import ContextPage, Line, Stretch, apart, number, scored
from am_inseq.render.palette import BACKGROUNDS, LEVELS, Theme, level, readable_on

_STYLE: Final = """\
:root { color-scheme: light dark; --text: #1b1b1b; --page: #ffffff; --rule: #767676; }
body { font: 16px/1.9 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dt { font-weight: bold; } dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.line { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 .8rem; }
.name { font-weight: bold; }
mark, .t { border-radius: 3px; padding: 1px 0; background: none; color: inherit; }
mark { font-weight: bold; outline: 2px solid var(--rule); padding: 1px 3px; }
sub { font-weight: normal; font-size: .75em; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } }"""
_DARK: Final = ":root { --text: #ececec; --page: #1e1e1e; --rule: #b0b0b0; }"


def context_html(page: ContextPage) -> str:
    """The page as HTML: colours follow the reader's theme, every score shows at its token."""
    metric, method, function = page.how
    texts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in page.texts)
    cases = "".join(_case(number, case) for number, case in enumerate(page.cases, start=1))
    notes = "".join(f"<p>{escape(note)}</p>" for note in page.notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Which tokens depend on the context</title>
<style>
{_STYLE}
{_colours("light")}
@media (prefers-color-scheme: dark) {{ {_DARK}
{_colours("dark")} }}
</style></head><body>
<h1>Which tokens depend on the context, and on what there</h1>
<dl><dt>Sensitivity (CTI)</dt><dd>{escape(metric)}, {escape(page.targets)}</dd>
<dt>Cues (CCI)</dt><dd>{escape(method)} of {escape(function)}, {escape(page.cues)}</dd>
{texts}</dl>
<h2>How much every token depends on the context</h2>
{_line(page.output, "orange", scored(page.output.stretches))}
{cases}{notes}</body></html>
"""


def _case(number: int, lines: tuple[Line, ...]) -> str:
    token = next((s.text.strip() for s in lines[0].stretches if s.mark == "target"), "")
    largest = scored([stretch for line in lines[1:] for stretch in line.stretches])
    shown = "".join(_line(line, "blue", largest) for line in lines[1:])
    head = f"{number}. “{escape(token)}” depends on"
    return f"<section><h2>{head}</h2>\n{_line(lines[0], None, 1.0)}{shown}</section>\n"


def _line(line: Line, hue: str | None, largest: float) -> str:
    text = "".join(_stretch(one, largest, hue) for one in line.stretches)
    name = escape(f"{line.name} ({line.bound})")
    return f'<p class="line"><span class="name">{name}:</span> {text}</p>\n'


def _stretch(stretch: Stretch, largest: float, hue: str | None) -> str:
    if stretch.score is None:
        return escape(stretch.text)
    before, core, after = apart(stretch.text)
    step = level(stretch.score / largest) if hue else 0
    look = f' class="t {hue}{step}"' if step else ' class="t"'
    said = f' title="{stretch.score:.4g}"'
    if stretch.mark is None:
        inner = f"<span{look}{said}>{escape(core)}</span>"
    else:
        inner = f"<mark{look}{said}>{escape(core)}<sub> {number(stretch.score)}</sub></mark>"
    return f"{escape(before)}{inner}{escape(after)}"


def _colours(theme: Theme) -> str:
    rules = (
        f".{hue}{step + 1} {{ background: {colour}; color: {readable_on(colour)}; }}"
        for hue, colours in BACKGROUNDS[theme].items()
        for step, colour in enumerate(colours[:LEVELS])
    )
    return "\n".join(rules)
