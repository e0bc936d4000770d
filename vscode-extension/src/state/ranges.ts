/** A stretch of a document, in UTF-16 offsets. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** One replacement in a document; `start` counts in the text before it. */
export interface Edit {
  readonly start: number;
  readonly removed: number;
  readonly inserted: number;
}

/** The edits of one event from the last in the document to the first, so that each may be applied alone. */
export function backwards(edits: readonly Edit[]): readonly Edit[] {
  return edits.toSorted((a, b) => b.start - a.start);
}

/** The range after the edit, or undefined where the edit touched its inside. */
export function moved<R extends Range>(range: R, edit: Edit): R | undefined {
  const end = edit.start + edit.removed;
  if (end <= range.start) {
    const shift = edit.inserted - edit.removed;
    return shift === 0 ? range : { ...range, start: range.start + shift, end: range.end + shift };
  }
  return edit.start >= range.end ? range : undefined;
}

/** The range after the edit; what is typed inside or at its end belongs to it. */
export function grown(range: Range, edit: Edit): Range {
  const end = edit.start + edit.removed;
  const shift = edit.inserted - edit.removed;
  if (edit.start > range.end) return range;
  if (end < range.start || (end === range.start && edit.start < range.end)) {
    return { start: range.start + shift, end: range.end + shift };
  }
  const start = Math.min(range.start, edit.start);
  return { start, end: Math.max(range.end, end) + shift };
}

/** Whether the edit changes the text of the range; typing at its end does, typing before it does not. */
export function changes(range: Range, edit: Edit): boolean {
  const end = edit.start + edit.removed;
  return end > range.start && edit.start <= range.end;
}
