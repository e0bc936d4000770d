import type { Origin, PlacedSpan, Shown } from "./model.js";
import { onOneLine } from "./oneLine.js";
import { important } from "./paint.js";
import type { Settings } from "./settings.js";

const BAR = 10;
const MOST_TARGETS = 6;

/** What a hover says about one token of the prompt. */
export interface Description {
  readonly span: PlacedSpan;
  readonly headline: string;
  readonly fed: readonly string[];
  readonly source: string;
}

/** A share between 0 and 1 as a bar of text. */
export function bar(share: number): string {
  const filled = Math.min(BAR, Math.max(0, Math.round(share * BAR)));
  return "█".repeat(filled) + "▁".repeat(BAR - filled);
}

export function percent(share: number): string {
  const value = share * 100;
  return `${value > 0 && value < 1 ? "<1" : value.toFixed(0)} %`;
}

/** Three significant digits, never in exponents where the number is ordinary. */
export function figure(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(2);
}

/** A token's text as one visible word. */
export function visible(text: string): string {
  const shown = onOneLine(text.replaceAll("\t", "⇥"));
  return shown.trim() === "" ? shown.replaceAll(" ", "␣") : shown.trim();
}

function subject(shown: Shown): string {
  const target = shown.scores.targets[shown.focus - 1];
  if (!target) return "the whole output";
  const other = target.contrast ? ` rather than “${visible(target.contrast)}”` : "";
  return `“${visible(target.text)}”${other}`;
}

function headline(shown: Shown, column: number): string {
  const { scores, focus } = shown;
  const value = scores.values[focus]?.[column] ?? 0;
  const direction = value < 0 ? ", speaks against" : ", speaks for";
  const ranked = (scores.ranks[focus] ?? []).filter((rank) => rank > 0).length;
  const parts = [
    `score ${figure(value)} ${scores.unit}${scores.isSigned ? direction : ""}`,
    `rank ${String(scores.ranks[focus]?.[column] ?? 0)} of ${String(ranked)}`,
    `${percent(scores.shares[focus]?.[column] ?? 0)} of ${subject(shown)}`,
  ];
  return parts.join(" · ");
}

/** The generated tokens that the column fed most, in the order of the text. */
function fed(shown: Shown, column: number): readonly string[] {
  const { scores } = shown;
  const rows = scores.targets
    .map((target, i) => ({ i, name: visible(target.text), share: scores.shares[i + 1]?.[column] }))
    .flatMap(({ share, ...row }) => (share === undefined || share <= 0 ? [] : [{ ...row, share }]))
    .toSorted((a, b) => b.share - a.share)
    .slice(0, MOST_TARGETS)
    .toSorted((a, b) => a.i - b.i);
  const width = Math.max(0, ...rows.map((row) => row.name.length));
  return rows.map(({ i, name, share }) =>
    `${bar(share)} ${percent(share).padStart(5)}  ${name.padEnd(width)}${i + 1 === shown.focus ? "  ◂ focused" : ""}`.trimEnd(),
  );
}

function source(origin: Origin | undefined, isStale: boolean): string {
  const made = origin
    ? `${origin.method}, ${origin.score} · ${shortName(origin.model)} on ${origin.device}`
    : "first results; more are coming";
  return isStale ? `${made} · stale: the prompt has changed since` : made;
}

/** The last part of a model's folder; names are kept whole. */
export function shortName(model: string): string {
  return /^(?:[/\\~]|[A-Za-z]:)/u.test(model)
    ? (model.split(/[/\\]/u).filter(Boolean).at(-1) ?? model)
    : model;
}

function describe(shown: Shown, span: PlacedSpan): Description {
  return {
    span,
    headline: headline(shown, span.column),
    fed: fed(shown, span.column),
    source: source(shown.origin, shown.isStale),
  };
}

/** What to say at the offset; undefined unless a scored token stands exactly there. */
export function describeAt(shown: Shown, offset: number): Description | undefined {
  const ranks = shown.scores.ranks[shown.focus] ?? [];
  const span = shown.spans.find(
    ({ start, end, column }) => start <= offset && offset < end && (ranks[column] ?? 0) > 0,
  );
  return span && describe(shown, span);
}

/** The coloured token after (or before) the offset in the text, going round at the ends. */
export function importantFrom(
  shown: Shown,
  settings: Settings,
  offset: number,
  by: -1 | 1,
): PlacedSpan | undefined {
  const spans = important(shown, settings).toSorted((a, b) => a.start - b.start);
  if (by > 0) return spans.find((span) => span.start > offset) ?? spans[0];
  return spans.findLast((span) => span.end <= offset) ?? spans.at(-1);
}

/** Everything that the colours say, as text that a screen reader can read. */
export function table(shown: Shown): string {
  const { scores, focus } = shown;
  const row = (list: readonly (readonly number[])[], column: number): number =>
    list[focus]?.[column] ?? 0;
  const lines = shown.spans
    .filter(({ column }) => row(scores.ranks, column) > 0)
    .toSorted((a, b) => row(scores.ranks, a.column) - row(scores.ranks, b.column))
    .map(({ column }) =>
      [
        String(row(scores.ranks, column)).padStart(4),
        figure(row(scores.values, column)).padStart(10),
        percent(row(scores.shares, column)).padStart(6),
        ` ${visible(scores.texts[column] ?? "")}`,
      ].join("  "),
    );
  return [
    `Scores of the prompt's tokens for ${subject(shown)}`,
    source(shown.origin, shown.isStale),
    `Continuation: ${visible(shown.continuation)}`,
    "",
    `rank  ${`score (${scores.unit})`.padStart(10)}  share   token`,
    ...lines,
    "",
  ].join("\n");
}
