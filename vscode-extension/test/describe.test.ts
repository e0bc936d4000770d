/** What hovers, commands and the table say. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bar,
  describeAt,
  figure,
  importantFrom,
  percent,
  shortName,
  table,
  visible,
} from "../src/state/describe.js";
import { DEFAULTS } from "../src/state/settings.js";
import { shown } from "./sample.js";

test("a hover names score, rank and share of the whole output, and what the token fed", () => {
  const description = describeAt(shown(), 112);

  assert.equal(
    description?.headline,
    "score 2 nats, speaks for · rank 1 of 5 · 50 % of the whole output",
  );
  assert.deepEqual(description.fed, ["███████▁▁▁  73 %  hospital"]);
  assert.equal(description.source, "occlusion, log_probability · demo/lm on cpu");
});

test("under a focus a hover speaks of that generated token", () => {
  const description = describeAt(shown({ focus: 4 }), 108);

  assert.equal(
    description?.headline,
    "score -1 nats, speaks against · rank 2 of 5 · 18 % of “hospital”",
  );
  assert.match(description.fed.join(), /hospital {2}◂ focused/);
});

test("a hover names what the generated token is set against", () => {
  const plain = shown({ focus: 4 });
  const targets = plain.scores.targets.map((one) => ({ ...one, contrast: " clinic" }));
  const set = { ...plain, scores: { ...plain.scores, targets } };

  assert.match(describeAt(set, 108)?.headline ?? "", /of “hospital” rather than “clinic”$/);
});

test("there is no hover beside the prompt", () => {
  assert.equal(describeAt(shown(), 99), undefined);
  assert.equal(describeAt(shown(), 121), undefined);
});

test("stale and partial results say so", () => {
  assert.match(describeAt(shown({ isStale: true }), 101)?.source ?? "", /stale/);
  assert.match(describeAt(shown({ origin: undefined }), 101)?.source ?? "", /more are coming/);
});

test("important tokens are walked in the order of the text, round the ends", () => {
  const at = (offset: number, by: 1 | -1): number | undefined =>
    importantFrom(shown(), DEFAULTS, offset, by)?.start;

  assert.deepEqual([at(0, 1), at(100, 1), at(106, 1), at(110, 1)], [100, 106, 110, 100]);
  assert.deepEqual([at(121, -1), at(111, -1), at(100, -1)], [110, 106, 110]);
});

test("the table holds every scored token by rank", () => {
  const lines = table(shown()).split("\n");

  assert.match(lines[2] ?? "", /to the⏎hospital/);
  assert.match(lines[5] ?? "", /1 +2 +50 % +sick/);
  assert.match(lines[9] ?? "", /5 +0\.25 +6 % +Come/);
});

test("numbers and names are short", () => {
  assert.deepEqual([0, 0.123456, -12345, 1e-7].map(figure), ["0", "0.123", "-12300", "1.00e-7"]);
  assert.deepEqual([0, 0.004, 0.5, 1].map(percent), ["0 %", "<1 %", "50 %", "100 %"]);
  assert.deepEqual([0, 0.5, 1].map(bar), ["▁".repeat(10), "█████▁▁▁▁▁", "█".repeat(10)]);
  assert.equal(shortName("/models/gpt2-small/"), "gpt2-small");
  assert.equal(shortName("demo/lm"), "demo/lm");
  assert.deepEqual([" a\n", "  ", "\t"].map(visible), ["a⏎", "␣␣", "⇥"]);
});
