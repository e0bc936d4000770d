/** A small result as the daemon sends it, to test with. */
import type { AttributionView, TensorPayload } from "../src/protocol/generated.js";
import type { DocumentState, Origin, Shown } from "../src/state/model.js";
import { placeSpans, readScores } from "../src/state/scores.js";

export const PROMPT = "George was sick. Come";
export const CONTINUATION = " to the\nhospital";

function tensor(dtype: "f32" | "i32", rows: readonly (readonly number[])[]): TensorPayload {
  const flat = rows.flat();
  const typed = dtype === "f32" ? new Float32Array(flat) : new Int32Array(flat);
  return { dtype, shape: [rows.length, rows[0]?.length ?? 0], data: new Uint8Array(typed.buffer) };
}

function spans(): AttributionView["spans"] {
  const words = ["George", " was", " sick", ".", " Come"];
  let start = 0;
  const prompt = words.map((text, i) => {
    const span = {
      text,
      part: "prompt" as const,
      start,
      end: start + text.length,
      tokens: [i + 1],
    };
    start = span.end;
    return span;
  });
  return [{ text: "<s>", part: "special", start: -1, end: -1, tokens: [0] }, ...prompt];
}

function targets(): AttributionView["targets"] {
  let start = 0;
  return [" to", " the", "\n", "hospital"].map((text, i) => {
    const end = start + text.length;
    const target = { text, start, end, token: 6 + i, probability: 0.9, contrast: "" };
    start = target.end;
    return target;
  });
}

/** Row 4 ("hospital") depends on "sick" most; "was" speaks against it. */
export const VIEW: AttributionView = {
  unit: "nats",
  isSigned: true,
  spans: spans(),
  targets: targets(),
  values: tensor("f32", [
    [0, 1, -0.5, 2, 0.25, 0.25],
    [0, 1, 0, 0, 0, 3],
    [0, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 1, 0],
    [0, 0.5, -1, 4, 0, 0],
  ]),
  shares: tensor("f32", [
    [0, 0.25, 0.125, 0.5, 0.0625, 0.0625],
    [0, 0.25, 0, 0, 0, 0.75],
    [0, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 1, 0],
    [0, 0.09, 0.18, 0.73, 0, 0],
  ]),
  intensities: tensor("f32", [
    [0, 0.5, -0.25, 1, 0.125, 0.125],
    [0, 0.33, 0, 0, 0, 1],
    [0, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 1, 0],
    [0, 0.125, -0.25, 1, 0, 0],
  ]),
  ranks: tensor("i32", [
    [0, 2, 3, 1, 4, 5],
    [0, 2, 3, 4, 5, 1],
    [0, 1, 2, 3, 4, 5],
    [0, 2, 3, 4, 1, 5],
    [0, 3, 2, 1, 4, 5],
  ]),
};

export const ORIGIN: Origin = {
  model: "demo/lm",
  device: "cpu",
  method: "occlusion",
  score: "log_probability",
  isDemo: true,
  seconds: 0.5,
  warnings: [],
};

export function shown(changes: Partial<Shown> = {}): Shown {
  const prompt = { start: 100, end: 100 + PROMPT.length };
  return {
    run: 1,
    prompt,
    spans: placeSpans(VIEW, prompt),
    scores: readScores(VIEW),
    continuation: CONTINUATION,
    focus: 0,
    isStale: false,
    origin: ORIGIN,
    ...changes,
  };
}

export const documentOf = (changes: Partial<Shown> = {}): DocumentState => ({
  shown: shown(changes),
});
