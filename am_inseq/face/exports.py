"""Results for papers, spreadsheets and other programs: the ending of a file chooses its form."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch

from am_inseq.core.attribution import Attribution, Block
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.files import save
from am_inseq.face.inseq_files import to_sequence
from am_inseq.face.output import FeatureAttributionOutput, FeatureAttributionSequenceOutput
from am_inseq.io.atomic import PathName, refuse_existing, write_whole
from am_inseq.io.inseq_import import attribution_of, full_table
from am_inseq.io.tables import Part, columns_of, to_frame, write_csv, write_parquet
from am_inseq.ops.view import make_view
from am_inseq.render.figures import Document
from am_inseq.render.heatmap import Passage
from am_inseq.render.latex import latex
from am_inseq.render.markdown import markdown
from am_inseq.render.svg import svg

Result: TypeAlias = (
    FeatureAttributionOutput
    | FeatureAttributionSequenceOutput
    | Attribution
    | Sequence[Attribution]
)

ENDINGS: Final[dict[str, str]] = {
    ".html": "html",
    ".htm": "html",
    ".tex": "latex",
    ".md": "markdown",
    ".svg": "svg",
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".json.gz": "json",
    ".safetensors": "safetensors",
}


def export(
    result: Result,
    path: PathName,
    format: str | None = None,
    *,
    overwrite: bool = False,
    form: str = "long",
    block: str | None = None,
    **options: Any,
) -> list[Path]:
    """Writes a result in the form that the ending of the path names.

    Args:
        result: an output, one of its sequences, an attribution or several.
        path: *.html, .tex, .md, .svg, .csv, .parquet, .json, .json.gz or .safetensors.
        format: "html", "latex", "markdown", "svg", "csv", "parquet", "json" or "safetensors", for
            paths with other endings.
        overwrite: replace files that are there.
        form: of tables: "long" has a row for each score, "wide" one for each token.
        block: of tables, the block to write, of the attribution behind a sequence too; by default
            what is shown.
        options: `standalone` and `columns` of LaTeX, `columns` of Markdown, `width` and `spans` of
            SVG.

    Returns:
        the files; several pictures where an SVG of several sequences was asked for.

    Raises:
        UnknownNameError: a format, form, block or option that does not exist.
        InputError: a file exists and may not be replaced, or nothing can be written there.
        UnsupportedError: a package for this format is not installed.
    """
    kind = format or _format_of(path)
    if kind in ("json", "safetensors"):
        _refuse(options)
        return _save(result, path, kind, overwrite=overwrite)
    refuse_existing([path], overwrite=overwrite)
    if kind in ("csv", "parquet"):
        _refuse(options)
        columns = columns_of(_parts(result, block), form)
        if kind == "csv":
            write_csv(path, columns, overwrite=overwrite)
        else:
            write_parquet(path, columns, _shared_facts(result), overwrite=overwrite)
        return [Path(path)]
    if kind == "html":
        _refuse(options)
        write_whole(path, [_html(result).encode()], overwrite=overwrite)
        return [Path(path)]
    return _write_documents(result, path, kind, overwrite=overwrite, options=options)


def to_pandas(result: Result, form: str = "long", block: str | None = None) -> Any:
    """A result as a pandas DataFrame; what produced it is in `attrs`.

    Args:
        result: an output, one of its sequences, an attribution or several.
        form: "long" has a row for each score, "wide" one for each token.
        block: the block to write, of the attribution behind a sequence too; by default what is
            shown.

    Raises:
        UnsupportedError: pandas is not installed.
    """
    return to_frame(columns_of(_parts(result, block), form), _shared_facts(result))


def to_markdown(result: Result, *, columns: int = 12) -> str:
    """A result as Markdown; see `am_inseq.render.markdown.markdown`."""
    return _text("markdown", documents(result), {"columns": columns})


def to_latex(result: Result, *, standalone: bool = True, columns: int = 8) -> str:
    """A result as LaTeX; see `am_inseq.render.latex.latex`."""
    options = {"standalone": standalone, "columns": columns}
    return _text("latex", documents(result), options)


def to_svg(result: Result, **options: Any) -> list[str]:
    """A result as pictures, one for each sequence; see `am_inseq.render.svg.svg`."""
    return [svg(one, **options) for one in documents(result)]


def documents(result: Result) -> list[Document]:
    """Each sequence as a document: its scores as they are shown, its texts, what produced it."""
    return [
        Document(
            view=view,
            texts=Passage(one.prompt, one.continuation),
            step_scores=one.step_scores,
            facts=facts(one),
        )
        for one, view in _viewed(result)
    ]


def facts(attribution: Attribution) -> dict[str, str]:
    """What produced an attribution, in words."""
    said = attribution.provenance
    options = ", ".join(f"{name}={value!r}" for name, value in attribution.options.items())
    versions = ", ".join(f"{name} {version}" for name, version in said.versions.items())
    found = {
        "model": said.model + (" (demo)" if said.is_demo else ""),
        "revision": said.revision or "",
        "method": attribution.method + (f" ({options})" if options else ""),
        "score": f"{attribution.score}, in {attribution.unit}",
        "run": f"{said.dtype} on {said.device}",
        "versions": versions or f"am_inseq {said.library}",
        "seed": "" if said.seed is None else str(said.seed),
        "warnings": "; ".join(attribution.diagnostics.warnings),
    }
    return {name: text for name, text in found.items() if text}


def _shared_facts(result: Result) -> dict[str, str]:
    """The facts of the first; those of several differ in warnings at most."""
    many = _attributions(result)
    return facts(many[0]) if many else {}


def _sequences(result: Result) -> list[FeatureAttributionSequenceOutput] | None:
    if isinstance(result, FeatureAttributionOutput):
        return list(result.sequence_attributions)
    return [result] if isinstance(result, FeatureAttributionSequenceOutput) else None


def _attributions(result: Result) -> list[Attribution]:
    sequences = _sequences(result)
    if sequences is not None:
        return [one.attribution for one in sequences]
    return [result] if isinstance(result, Attribution) else list(result)  # type: ignore[arg-type]


def _viewed(result: Result) -> list[tuple[Attribution, Any]]:
    sequences = _sequences(result)
    if sequences is None:
        return [(one, make_view(one)) for one in _attributions(result)]
    return [(_shown(one), one.view()) for one in sequences]


def _parts(result: Result, block: str | None) -> list[Part]:
    sequences = _sequences(result)
    if sequences is None:
        return [Part(one, block, _has_decoder(one)) for one in _attributions(result)]
    return [
        Part(
            one.attribution if block else _shown(one),
            block,
            one.target_attributions is not None or one.source_attributions is None,
        )
        for one in sequences
    ]


def _has_decoder(attribution: Attribution) -> bool:
    encoder = sum(token.side == "encoder" for token in attribution.tokens)
    return not encoder or bool(torch.count_nonzero(attribution.values[:, encoder:]))


def _shown(sequence: FeatureAttributionSequenceOutput) -> Attribution:
    """The attribution behind a sequence with the sequence's own, aggregated scores."""
    flat = sequence.aggregate()
    table = full_table(to_sequence(flat))
    whole = flat.attribution
    if table.shape != (len(whole.targets), len(whole.tokens)):
        return attribution_of(to_sequence(flat), {"attribution_method": whole.method}, 0)
    blocks = {"shown": Block(table, ("target", "token"))}
    is_signed = bool((table < 0).any())
    return replace(whole, blocks=blocks, primary="shown", is_signed=is_signed)


def _format_of(path: PathName) -> str:
    name = Path(path).name.lower()
    for ending, kind in ENDINGS.items():
        if name.endswith(ending):
            return kind
    known = ", ".join(ENDINGS)
    raise InputError(f"the ending of {path} names no format; use one of {known}, or give format=")


def _refuse(options: Mapping[str, Any]) -> None:
    for name in options:
        raise UnknownNameError("option of this format", name, ())


def _save(result: Result, path: PathName, kind: str, *, overwrite: bool) -> list[Path]:
    if not str(path).endswith((".safetensors",) if kind == "safetensors" else (".json", ".gz")):
        raise InputError(f"{path} does not end as a file of format {kind!r} does; rename it")
    if isinstance(result, FeatureAttributionSequenceOutput):
        result = FeatureAttributionOutput([result])
    save(result, path, overwrite=overwrite)
    return [Path(path)]


_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "markdown": ("columns",),
    "latex": ("standalone", "columns"),
    "svg": ("width", "spans"),
}


def _write_documents(
    result: Result, path: PathName, kind: str, *, overwrite: bool, options: dict[str, Any]
) -> list[Path]:
    if kind not in _OPTIONS:
        raise UnknownNameError("format", kind, set(ENDINGS.values()))
    for name in options:
        if name not in _OPTIONS[kind]:
            raise UnknownNameError(f"option of {kind}", name, _OPTIONS[kind])
    many = documents(result)
    if kind == "svg" and len(many) > 1:
        given = Path(path)
        places = [given.with_name(f"{given.stem}_{i}{given.suffix}") for i in range(len(many))]
        refuse_existing(places, overwrite=overwrite)
        texts = [svg(one, **options) for one in many]
    else:
        places, texts = [Path(path)], [_text(kind, many, options)]
    for place, text in zip(places, texts, strict=True):
        write_whole(place, [text.encode("utf-8", "replace")], overwrite=overwrite)
    return places


def _text(kind: str, many: Sequence[Document], options: dict[str, Any]) -> str:
    if kind == "latex":
        return latex(many, **options)
    write: Callable[..., str] = markdown if kind == "markdown" else svg
    return "\n".join(write(one, **options) for one in many)


def _html(result: Result) -> str:
    showing = importlib.import_module("am_inseq.face.showing")
    if _sequences(result) is None:
        return showing.to_html(*_attributions(result))
    return showing.show_attributions(result, display=False, return_html=True)
