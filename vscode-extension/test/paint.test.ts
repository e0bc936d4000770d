/** Which tokens are coloured, how strongly, and how the continuation is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { onOneLine } from "../src/state/oneLine.js";
import { bucketOf, continuationLine, important, paint } from "../src/state/paint.js";
import { DEFAULTS } from "../src/state/settings.js";
import { CONTINUATION, documentOf, PROMPT, shown } from "./sample.js";

const texts = (spans: readonly { start: number; end: number }[]): string[] =>
  spans.map(({ start, end }) => PROMPT.slice(start - 100, end - 100));

test("intensities fall into five strengths on each side", () => {
  const buckets = [0.01, 0.2, 0.59, 0.99, 1, -1].map((value) => bucketOf(value, true));

  assert.deepEqual(buckets, ["for-0", "for-1", "for-2", "for-4", "for-4", "against-4"]);
  assert.equal(bucketOf(-1, false), "for-4");
});

test("three tokens are coloured at least, in the order of their ranks", () => {
  assert.deepEqual(texts(important(shown(), DEFAULTS)), [" sick", "George", " was"]);
});

test("more tokens are coloured only until the wanted share is reached", () => {
  const count = (sharePercent: number, tokensPercent: number): number =>
    important(shown(), { ...DEFAULTS, sharePercent, tokensPercent }).length;

  assert.equal(count(100, 100), 5);
  assert.equal(count(90, 100), 4);
  assert.equal(count(60, 100), 3);
  assert.equal(count(100, 70), 4);
});

test("no other token takes the place of one that an edit dropped", () => {
  const left = shown().spans.filter(({ start }) => start !== 110);

  assert.deepEqual(texts(important(shown({ spans: left }), DEFAULTS)), ["George", " was"]);
});

test("no more tokens are coloured than the maximum", () => {
  assert.equal(important(shown(), { ...DEFAULTS, maximumDecorations: 1 }).length, 1);
});

test("a focused token colours by its own row, and nothing without a score", () => {
  const painted = paint(shown({ focus: 4 }), DEFAULTS);

  assert.deepEqual(
    painted.map(({ bucket }) => bucket),
    ["for-4", "against-1", "for-0"],
  );
  assert.deepEqual(texts(paint(shown({ focus: 2 }), DEFAULTS)), ["George"]);
});

test("the continuation is one line, cut around the focused token", () => {
  const line = continuationLine(documentOf({ focus: 4 }));

  assert.deepEqual(line, {
    offset: 100 + PROMPT.length,
    head: " to the⏎",
    focused: "hospital",
    tail: "",
    isStale: false,
  });
  assert.equal(continuationLine(documentOf())?.tail, onOneLine(CONTINUATION));
});

test("a continuation that streams in is cut after 200 characters", () => {
  const prompt = { start: 0, end: 4 };
  const run = {
    id: 2,
    sentPrompt: prompt,
    prompt,
    edits: [],
    isStale: false,
    stage: "generating" as const,
    done: 1,
    total: 24,
    continuation: "😀".repeat(300),
    fallback: undefined,
  };

  const line = continuationLine({ run, shown: shown() });

  assert.equal(line?.head, `${"😀".repeat(200)}…`);
  assert.equal(line.offset, 4);
});

test("line breaks, tabs and controls are visible on one line", () => {
  assert.equal(onOneLine("a\r\nb\nc\td\u0007"), "a⏎b⏎c d␇");
});
