import type { AttributionView } from "../protocol/generated.js";
import { toRows } from "../protocol/tensor.js";
import type { PlacedSpan, Scores } from "./model.js";
import type { Range } from "./ranges.js";

/** The view that came over the wire, as plain numbers. */
export function readScores(view: AttributionView): Scores {
  return {
    unit: view.unit,
    isSigned: view.isSigned,
    texts: view.spans.map((span) => span.text),
    promptColumns: view.spans.flatMap(({ part }, column) => (part === "prompt" ? [column] : [])),
    targets: view.targets,
    values: toRows(view.values),
    shares: toRows(view.shares),
    intensities: toRows(view.intensities),
    ranks: toRows(view.ranks),
  };
}

/** The prompt's spans in the document, where `prompt` is what was sent. */
export function placeSpans(view: AttributionView, prompt: Range): readonly PlacedSpan[] {
  return view.spans.flatMap((span, column) => {
    const start = prompt.start + span.start;
    const end = Math.min(prompt.start + span.end, prompt.end);
    const isPlaced = span.part === "prompt" && span.start >= 0 && start < end;
    return isPlaced ? [{ start, end, column }] : [];
  });
}
