import type { DocumentState, PlacedSpan, Shown } from "./model.js";
import { onOneLine } from "./oneLine.js";
import type { Settings } from "./settings.js";

/** Strengths of a colour, from weak to strong. */
const STRENGTHS = ["0", "1", "2", "3", "4"] as const;
export const LEVELS = STRENGTHS.length;

/** Which way a token pushed: for what was generated, or against it. */
export type Direction = "for" | "against";

/** Name of a decoration type. */
export type Bucket = `${Direction}-${(typeof STRENGTHS)[number]}`;

/** Every bucket there is. */
export const BUCKETS: readonly Bucket[] = (["for", "against"] as const).flatMap((direction) =>
  STRENGTHS.map((strength): Bucket => `${direction}-${strength}`),
);

const FEWEST = 3;
const LONGEST_LINE = 200;

/** A coloured stretch of the document. */
export interface Painted extends PlacedSpan {
  readonly bucket: Bucket;
}

/** The bucket of an intensity between -1 and 1. */
export function bucketOf(intensity: number, isSigned: boolean): Bucket {
  const strength = STRENGTHS[Math.floor(Math.abs(intensity) * LEVELS)] ?? "4";
  return `${isSigned && intensity < 0 ? "against" : "for"}-${strength}`;
}

/**
 * The spans that get a colour: the highest ranks that together make up the wanted share, but no
 * more than the wanted part of the tokens, and three at least. A token that an edit dropped leaves
 * its place empty: no other one takes it.
 */
export function important(shown: Shown, settings: Settings): readonly PlacedSpan[] {
  const ranks = shown.scores.ranks[shown.focus] ?? [];
  const shares = shown.scores.shares[shown.focus] ?? [];
  const ranked = shown.scores.promptColumns
    .filter((column) => (ranks[column] ?? 0) > 0)
    .toSorted((a, b) => (ranks[a] ?? 0) - (ranks[b] ?? 0));
  const scored = ranks.filter((rank) => rank > 0).length;
  const most = Math.max(FEWEST, Math.ceil((scored * settings.tokensPercent) / 100));
  const limit = Math.min(most, settings.maximumDecorations);
  const placed = new Map(shown.spans.map((span) => [span.column, span]));
  let covered = 0;
  return ranked.slice(0, limit).flatMap((column, i) => {
    const isWanted = i < FEWEST || covered * 100 < settings.sharePercent;
    covered += shares[column] ?? 0;
    return isWanted ? (placed.get(column) ?? []) : [];
  });
}

/** The coloured stretches of what is shown. */
export function paint(shown: Shown, settings: Settings): readonly Painted[] {
  const intensities = shown.scores.intensities[shown.focus] ?? [];
  return important(shown, settings)
    .filter((span) => intensities[span.column] !== 0)
    .map((span) => ({
      ...span,
      bucket: bucketOf(intensities[span.column] ?? 0, shown.scores.isSigned),
    }));
}

/** The dimmed line, cut around the focused generated token, and the offset that it follows. */
export interface ContinuationLine {
  readonly offset: number;
  readonly head: string;
  readonly focused: string;
  readonly tail: string;
  readonly isStale: boolean;
}

/** The text cut after 200 user-visible characters. */
function shortened(text: string): string {
  if (text.length <= LONGEST_LINE) return text;
  const characters = Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
  if (characters.length <= LONGEST_LINE) return text;
  return `${characters.slice(0, LONGEST_LINE).join("")}…`;
}

/** The line behind the prompt: the run's text as long as that has no scores, else what is shown. */
export function continuationLine({ run, shown }: DocumentState): ContinuationLine | undefined {
  if (run?.continuation !== undefined && shown?.run !== run.id) {
    const head = shortened(onOneLine(run.continuation));
    return { offset: run.prompt.end, head, focused: "", tail: "", isStale: run.isStale };
  }
  return shown && cutLine(shown);
}

function cutLine({ prompt, continuation, scores, focus, isStale }: Shown): ContinuationLine {
  const target = scores.targets[focus - 1];
  const { start, end } = target && target.end > target.start ? target : { start: 0, end: 0 };
  const focused = onOneLine(continuation.slice(start, end));
  const last = onOneLine(continuation.slice(0, start)).length + focused.length;
  const first = last - focused.trimStart().length; // a blank is not underlined
  const line = shortened(onOneLine(continuation));
  return {
    offset: prompt.end,
    head: line.slice(0, first),
    focused: line.slice(first, last),
    tail: line.slice(last),
    isStale,
  };
}
