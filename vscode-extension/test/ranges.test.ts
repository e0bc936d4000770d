/** Where tokens and prompts are after an edit. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { backwards, changes, grown, moved } from "../src/state/ranges.js";

const word = { start: 10, end: 15 };
const edit = (start: number, removed: number, inserted: number) => ({ start, removed, inserted });

test("an edit before a token moves it, one behind it leaves it alone", () => {
  assert.deepEqual(moved(word, edit(0, 2, 5)), { start: 13, end: 18 });
  assert.deepEqual(moved(word, edit(10, 0, 4)), { start: 14, end: 19 });
  assert.equal(moved(word, edit(15, 3, 0)), word);
});

test("an edit that touches a token drops it", () => {
  for (const touching of [edit(12, 0, 1), edit(14, 4, 4), edit(8, 3, 3), edit(0, 50, 50)]) {
    assert.equal(moved(word, touching), undefined);
  }
});

test("a prompt takes in what is typed inside it and at its end", () => {
  assert.deepEqual(grown(word, edit(12, 0, 3)), { start: 10, end: 18 });
  assert.deepEqual(grown(word, edit(15, 0, 3)), { start: 10, end: 18 });
  assert.deepEqual(grown(word, edit(10, 0, 3)), { start: 13, end: 18 });
  assert.deepEqual(grown(word, edit(16, 2, 0)), word);
  assert.deepEqual(grown(word, edit(8, 4, 1)), { start: 8, end: 12 });
  assert.deepEqual(grown(word, edit(13, 20, 0)), { start: 10, end: 13 });
});

test("only edits of its own text change a prompt", () => {
  assert.equal(changes(word, edit(2, 3, 0)), false);
  assert.equal(changes(word, edit(10, 0, 3)), false);
  assert.equal(changes(word, edit(12, 0, 1)), true);
  assert.equal(changes(word, edit(15, 0, 1)), true);
  assert.equal(changes(word, edit(16, 0, 1)), false);
});

test("the edits of one event are applied from the last to the first", () => {
  const ordered = backwards([edit(0, 0, 2), edit(20, 0, 1), edit(5, 1, 0)]);

  assert.deepEqual(
    ordered.map(({ start }) => start),
    [20, 5, 0],
  );
});
