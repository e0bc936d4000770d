import type { Range } from "./ranges.js";

/** The range without the white space at its end. */
export function withoutTail(text: string, range: Range): Range {
  const kept = text.slice(range.start, range.end).trimEnd();
  return { start: range.start, end: range.start + kept.length };
}

/** The lines without a blank one between them that surround the offset; undefined on a blank line. */
export function paragraphAt(text: string, offset: number): Range | undefined {
  const lineStart = text.lastIndexOf("\n", offset - 1) + 1;
  const lineEnd = endOfLine(text, offset);
  if (text.slice(lineStart, lineEnd).trim() === "") return undefined;
  let start = lineStart;
  while (start > 0) {
    const above = text.lastIndexOf("\n", start - 2) + 1;
    if (text.slice(above, start).trim() === "") break;
    start = above;
  }
  let end = lineEnd;
  while (end < text.length) {
    const below = endOfLine(text, end + 1);
    if (text.slice(end, below).trim() === "") break;
    end = below;
  }
  return withoutTail(text, { start, end });
}

function endOfLine(text: string, offset: number): number {
  const found = text.indexOf("\n", offset);
  return found < 0 ? text.length : found;
}

/** The whole text, or undefined where there is nothing but white space. */
export function wholeText(text: string): Range | undefined {
  const range = withoutTail(text, { start: 0, end: text.length });
  return range.end > 0 ? range : undefined;
}
