"""Scores as tables of rows and columns: CSV, Parquet, pandas."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from am_inseq.core.attribution import Attribution, Block
from am_inseq.core.tokens import Token
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.io.atomic import PathName, write_whole

Columns: TypeAlias = dict[str, list[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """An attribution as it goes into a table.

    Attributes:
        attribution: the attribution.
        block: name of the block whose values are written; None for the one that is shown.
        with_decoder: whether decoder tokens of an encoder-decoder have scores.
    """

    attribution: Attribution
    block: str | None = None
    with_decoder: bool = True

    @property
    def chosen(self) -> Block:
        """The block.

        Raises:
            UnknownNameError: there is none of that name.
            InputError: it does not begin with targets and tokens.
        """
        blocks, name = self.attribution.blocks, self.block or self.attribution.primary
        if name not in blocks:
            raise UnknownNameError("block", name, blocks)
        if blocks[name].axes[:2] != ("target", "token"):
            raise InputError(f"block {name!r} has axes {blocks[name].axes}, not targets and tokens")
        return blocks[name]

    def rows_of(self, column: int) -> Iterator[int]:
        """Positions of the tokens that can have a score for a target."""
        first = self.attribution.targets[column]
        if self.attribution.spans is not None:
            first = self.attribution.spans[column][0]
        for place, token in enumerate(self.attribution.tokens):
            if place < first and (self.with_decoder or token.side == "encoder"):
                yield place


def long_table(parts: Sequence[Part]) -> Columns:
    """One row for each score.

    Columns: sequence, target_position, target, token_position, token, piece, id, side, part, start,
    end, role, message; those of the further axes (layer, head, hidden); value; probability; a
    column "step_…" for each recorded score, which repeats for every token of its target; where
    there are contrasts, "contrast" with the text that the target is set against.
    """
    further: list[str] = []
    for part in parts:
        further += [axis for axis in part.chosen.axes[2:] if axis not in further]
    recorded = list(dict.fromkeys(k for part in parts for k in part.attribution.step_scores))
    names = (
        "sequence",
        "target_position",
        "target",
        "token_position",
        "token",
        "piece",
        "id",
        "side",
        "part",
        "start",
        "end",
        "role",
        "message",
    )
    columns: Columns = {name: [] for name in (*names, *further, "value", "probability")}
    columns |= {f"step_{name}": [] for name in recorded}
    if any(part.attribution.contrast is not None for part in parts):
        columns["contrast"] = []
    for index, part in enumerate(parts):
        for row in _long_rows(part, index):
            for name, column in columns.items():
                column.append(row.get(name))
    return columns


def _long_rows(part: Part, index: int) -> Iterator[dict[str, Any]]:
    shown, block = part.attribution, part.chosen
    values = block.values.detach().to("cpu", torch.float64)
    for column, target in enumerate(shown.targets):
        fixed: dict[str, Any] = {
            "sequence": index,
            "target_position": target,
            "target": target_text(shown, column),
            "probability": shown.probabilities[column],
        }
        fixed |= {f"step_{k}": v[column] for k, v in shown.step_scores.items()}
        if shown.contrast is not None:
            fixed["contrast"] = shown.contrast[column].text
        for place in part.rows_of(column):
            labels = fixed | _token(shown.tokens[place], place)
            for inner in _inner(tuple(values.shape[2:])):
                more = dict(zip(block.axes[2:], inner, strict=True))
                yield {**labels, **more, "value": float(values[(column, place, *inner)])}


def _inner(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not shape:
        yield ()
        return
    for first in range(shape[0]):
        for rest in _inner(shape[1:]):
            yield (first, *rest)


def _token(token: Token, place: int) -> dict[str, Any]:
    return {
        "token_position": place,
        "token": token.text,
        "piece": token.piece,
        "id": token.id,
        "side": token.side,
        "part": token.part,
        "start": token.start,
        "end": token.end,
        "role": token.role,
        "message": token.message,
    }


def target_text(attribution: Attribution, column: int) -> str:
    """The text of a target; of a span, from its first token to its last."""
    place = attribution.targets[column]
    if attribution.spans is None:
        return attribution.tokens[place].text
    first, end = attribution.spans[column]
    tokens = [token for token in attribution.tokens[first:end] if token.start >= 0]
    if not tokens:
        return attribution.tokens[place].text
    return attribution.continuation[tokens[0].start : tokens[-1].end]


def wide_table(parts: Sequence[Part]) -> Columns:
    """One row for each token and one column for each target: "9 home", position and text.

    The rows of several attributions stand below each other, each with columns of its own. Below
    the tokens come the probability and the recorded scores, with their names in "token".

    Raises:
        InputError: the block has further axes, of which only a long table has columns.
    """
    columns: Columns = {"sequence": [], "token_position": [], "token": []}
    rows: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        shown, block = part.attribution, part.chosen
        if len(block.axes) > 2:
            raise InputError(
                f"block {part.block!r} has the axes {block.axes}; a wide table has two, so take "
                'form="long"'
            )
        names = (target_text(shown, column).strip() for column in range(len(shown.targets)))
        heads = [f"{place} {name}" for place, name in zip(shown.targets, names, strict=True)]
        columns |= {head: [] for head in heads}
        values = block.values.detach().to("cpu", torch.float64).tolist()
        able = [set(part.rows_of(column)) for column in range(len(heads))]
        for place in sorted(set().union(*able)):
            row = {"sequence": index, "token_position": place, "token": shown.tokens[place].text}
            row |= {h: values[c][place] for c, h in enumerate(heads) if place in able[c]}
            rows.append(row)
        figures = {"probability": shown.probabilities, **shown.step_scores}
        rows += [
            {"sequence": index, "token": name, **dict(zip(heads, one, strict=True))}
            for name, one in figures.items()
        ]
    for row in rows:
        for name, column in columns.items():
            column.append(row.get(name))
    return columns


def columns_of(parts: Sequence[Part], form: str) -> Columns:
    """A table in one of the two forms.

    Raises:
        UnknownNameError: another form.
    """
    if form not in ("long", "wide"):
        raise UnknownNameError("form of table", form, ("long", "wide"))
    return long_table(parts) if form == "long" else wide_table(parts)


def write_csv(path: PathName, columns: Columns, *, overwrite: bool) -> None:
    """Writes a table as comma-separated values: UTF-8, a head, numbers with all their digits."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    data = text.getvalue().encode("utf-8", "backslashreplace")  # lone surrogates
    write_whole(path, [data], overwrite=overwrite)


def write_parquet(
    path: PathName, columns: Columns, facts: Mapping[str, str], *, overwrite: bool
) -> None:
    """Writes a table as Parquet; what produced it goes into the file's metadata, as JSON.

    Raises:
        UnsupportedError: pyarrow is not installed.
    """
    arrow, parquet = _optional("pyarrow"), _optional("pyarrow.parquet")
    clean = {name: [_valid(one) for one in column] for name, column in columns.items()}
    table = arrow.table(clean)
    said = {"am_inseq": json.dumps(dict(facts), ensure_ascii=False)}
    sink = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(said), sink)
    write_whole(path, [sink.getbuffer()], overwrite=overwrite)


def _valid(value: Any) -> Any:
    """Text that can be UTF-8."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "replace").decode() if not value.isascii() else value


def to_frame(columns: Columns, facts: Mapping[str, str]) -> Any:
    """A table as a pandas DataFrame; what produced it is in its `attrs`.

    Raises:
        UnsupportedError: pandas is not installed.
    """
    frame = _optional("pandas").DataFrame(columns)
    frame.attrs.update(facts)
    return frame


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UnsupportedError(
            f"{package} is not installed; install it with: pip install 'am_inseq-am[export]'"
        ) from error
