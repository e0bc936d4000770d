"""The rows of a dataset as one page of HTML, each with a link to where its scores are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from am_inseq.render.palette import PAGES, Theme

_CSS: Final = """*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
  color:var(--text);background:var(--page);max-width:72rem;margin:0 auto;padding:1rem 1.25rem 2rem}
h1{font-size:1.15rem;margin:.2rem 0;font-weight:650;overflow-wrap:anywhere}
dl{display:flex;flex-wrap:wrap;gap:.1rem 1.4rem;margin:0 0 .6rem;font-size:.85rem}
dl div{display:flex;gap:.4em}dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
.bar{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;margin:.4rem 0;font-size:.85rem}
.bar label{display:inline-flex;gap:.5em;align-items:center}
.bar output{color:var(--quiet)}
input[type=search]{font:inherit;color:var(--text);background:var(--raised);
  border:1px solid var(--rule);border-radius:6px;padding:.18rem .6rem;width:min(20rem,60vw)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;width:100%;table-layout:fixed;font-size:.88rem}
th,td{padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--hair);text-align:start;
  vertical-align:top;overflow-wrap:anywhere}
thead th{font-weight:600;color:var(--quiet);position:sticky;top:0;background:var(--page)}
th[scope=row]{font-weight:400}
.id{width:5.5rem}.p{width:6.5rem;text-align:end;font-variant-numeric:tabular-nums}
td.text{white-space:pre-wrap;unicode-bidi:plaintext}
a{color:var(--link)}
.failed td.text+td{color:var(--quiet)}
.failed b{color:var(--text);font-weight:650}
.nothing{color:var(--quiet)}
[hidden]{display:none!important}
@media (max-width:40rem){body{padding:.6rem}.p{display:none}.id{width:4rem}}
"""
_SCRIPT: Final = """const box=document.getElementById("find"),only=document.getElementById("only"),
said=document.getElementById("said"),rows=[...document.querySelectorAll("tbody tr")];
function show(){const word=box.value.toLowerCase();let count=0;
for(const row of rows){const is=(!only||!only.checked||row.className==="failed")&&
row.textContent.toLowerCase().includes(word);row.hidden=!is;count+=is}
said.textContent=count===rows.length?"":count+" of "+rows.length+" shown"}
box.addEventListener("input",show);if(only)only.addEventListener("change",show);show()
"""
_TEXT: Final = 240


@dataclass(frozen=True, slots=True)
class Entry:
    """One row.

    Attributes:
        id: what it is called.
        input: the text that was given.
        generated: the text that was attributed, or what went wrong.
        probability: of the generated text, each of its tokens on average (geometric mean).
        link: where its scores are; None: it failed.
    """

    id: str
    input: str
    generated: str
    probability: float | None
    link: str | None


def index_html(
    title: str, facts: Sequence[tuple[str, str]], entries: Sequence[Entry], *, note: str = ""
) -> str:
    """The page as one self-contained document; without scripts it lacks the search alone.

    Args:
        title: its heading.
        facts: name and value of what a reader should know.
        entries: the rows, in the order in which they are shown.
        note: a sentence above the table.
    """
    listed = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts
    )
    has_failed = any(entry.link is None for entry in entries)
    only = '<label><input type="checkbox" id="only"> failed rows only</label>'
    body = "\n".join(map(_row, entries))
    said = f'<p class="nothing">{escape(note)}</p>' if note else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_colours()}
{_CSS}</style></head><body>
<h1>{escape(title)}</h1>
<dl>{listed}</dl>{said}
<div class="bar"><label>Find <input type="search" id="find"></label>{only if has_failed else ""}
<output id="said" aria-live="polite"></output></div>
<table><thead><tr><th scope="col" class="id">row</th><th scope="col">input</th>
<th scope="col">generated</th><th scope="col" class="p">probability</th></tr></thead>
<tbody>
{body}
</tbody></table>
<script>
"use strict";
{_SCRIPT}</script>
</body></html>
"""


def _row(entry: Entry) -> str:
    name = escape(entry.id) or "(no name)"
    shown = escape(_cut(entry.input)) or '<span class="nothing">empty</span>'
    said = escape(_cut(entry.generated.strip()))
    if entry.link is None:
        head = f'<th scope="row" class="id">{name}</th>'
        return (
            f'<tr class="failed">{head}<td class="text">{shown}</td>'
            f'<td><b>failed</b> {said}</td><td class="p"></td></tr>'
        )
    head = f'<th scope="row" class="id"><a href="{escape(entry.link)}">{name}</a></th>'
    figure = "" if entry.probability is None else f"{entry.probability:.1%}"
    return (
        f'<tr>{head}<td class="text">{shown}</td><td class="text">{said}</td>'
        f'<td class="p">{figure}</td></tr>'
    )


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1].rstrip() + "…"


def _colours() -> str:
    """Both themes as variables: the system's unless the reader chose one."""
    light, dark = _variables("light"), _variables("dark")
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme]){{color-scheme:dark;{dark}}}}}"
    )


def _variables(theme: Theme) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in PAGES[theme].items())
