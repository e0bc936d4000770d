/** What happens to a document's state. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { DocumentAction } from "../src/state/actions.js";
import type { DocumentState, State } from "../src/state/model.js";
import { INITIAL, reduce } from "../src/state/reduce.js";
import { CONTINUATION, ORIGIN, PROMPT, VIEW } from "./sample.js";

const uri = "file:///prompt.txt";
const started = (id: number): DocumentAction => ({
  type: "runStarted",
  uri,
  id,
  prompt: { start: 100, end: 100 + PROMPT.length },
});
const scores = (id: number, isLast: boolean): DocumentAction => ({
  type: "scoresArrived",
  uri,
  id,
  view: VIEW,
  continuation: CONTINUATION,
  origin: isLast ? ORIGIN : undefined,
});
const typed = (start: number, inserted: number): DocumentAction => ({
  type: "documentEdited",
  uri,
  edits: [{ start, removed: 0, inserted }],
});
const run = (...actions: DocumentAction[]): State => actions.reduce(reduce, INITIAL);
const after = (...actions: DocumentAction[]): DocumentState =>
  run(...actions).documents.get(uri) ?? {};

test("scores stream into a run, and the last of them ends it", () => {
  assert.equal(after(started(1)).shown, undefined);
  assert.equal(after(started(1), scores(1, false)).run?.id, 1);
  assert.equal(after(started(1), scores(1, false)).shown?.origin, undefined);
  assert.equal(after(started(1), scores(1, true)).run, undefined);
  assert.equal(run(started(1), scores(1, true)).origin, ORIGIN);
});

test("what is shown stays until new scores are there", () => {
  const before = after(started(1), scores(1, true)).shown;

  assert.equal(after(started(1), scores(1, true), started(2)).shown?.run, before?.run);
  assert.equal(after(started(1), scores(1, true), started(2), scores(2, false)).shown?.run, 2);
});

test("answers to an older request are not shown", () => {
  assert.equal(after(started(1), started(2), scores(1, true)).shown, undefined);
  assert.equal(after(started(1), started(2), scores(1, true)).run?.id, 2);
});

test("a failed or cancelled run brings back what was shown before it", () => {
  const past = [started(1), scores(1, true), started(2), scores(2, false)];

  const failed = after(...past, { type: "runFailed", uri, id: 2, why: "no" });
  assert.equal(failed.shown?.run, 1);
  assert.equal(failed.failure, "no");
  assert.equal(after(...past, { type: "runCancelled", uri, id: 2 }).shown?.run, 1);
});

test("the next run forgets the failure", () => {
  const failed: DocumentAction = { type: "runFailed", uri, id: 1, why: "no" };

  assert.equal(after(started(1), failed, started(2)).failure, undefined);
});

test("an edit drops the touched token, moves the later ones and makes the rest stale", () => {
  const { shown } = after(started(1), scores(1, true), typed(112, 3));

  assert.equal(shown?.isStale, true);
  assert.deepEqual(
    shown.spans.map(({ start, column }) => [start, column]),
    [
      [100, 1],
      [106, 2],
      [118, 4],
      [119, 5],
    ],
  );
  assert.deepEqual(shown.prompt, { start: 100, end: 124 });
});

test("an edit before the prompt moves it and leaves it fresh", () => {
  const { shown } = after(started(1), scores(1, true), typed(0, 10));

  assert.equal(shown?.isStale, false);
  assert.equal(shown.spans[0]?.start, 110);
});

test("what is typed while the model works happens to its answer too", () => {
  const before = after(started(1), typed(0, 10), scores(1, true)).shown;
  const inside = after(started(1), typed(112, 1), scores(1, true)).shown;

  assert.equal(before?.spans[0]?.start, 110);
  assert.equal(before.isStale, false);
  assert.equal(inside?.isStale, true);
  assert.equal(inside.spans.length, 4);
});

test("the focus goes round over the generated tokens and the whole output", () => {
  const moves = (...by: (-1 | 0 | 1)[]): number | undefined =>
    after(
      started(1),
      scores(1, true),
      ...by.map((step): DocumentAction => ({ type: "focusMoved", uri, by: step })),
    ).shown?.focus;

  assert.equal(moves(1), 1);
  assert.equal(moves(-1), 4);
  assert.equal(moves(-1, 1), 0);
  assert.equal(moves(1, 1, 0), 0);
});

test("the focus stays while scores stream in, and a new run begins with the whole output", () => {
  const focus: DocumentAction = { type: "focusMoved", uri, by: 1 };

  assert.equal(after(started(1), scores(1, false), focus, scores(1, true)).shown?.focus, 1);
  assert.equal(
    after(started(1), scores(1, true), focus, started(2), scores(2, true)).shown?.focus,
    0,
  );
});

test("clearing leaves nothing behind", () => {
  const state = run(started(1), scores(1, true), { type: "cleared", uri });

  assert.equal(state.documents.has(uri), false);
});

test("another model makes what is shown stale; another palette does not", () => {
  const state = run(started(1), scores(1, true));
  const changed = (settings: Partial<State["settings"]>): boolean | undefined =>
    reduce(state, {
      type: "settingsChanged",
      settings: { ...state.settings, ...settings },
    }).documents.get(uri)?.shown?.isStale;

  assert.equal(changed({ palette: "purple-green" }), false);
  assert.equal(changed({ model: "gpt2" }), true);
  assert.equal(changed({ enabled: false }), undefined);
});

test("an answer to a request with other settings arrives stale", () => {
  const before = run(started(1));
  const settings = { ...before.settings, method: "occlusion" };

  const after = reduce(reduce(before, { type: "settingsChanged", settings }), scores(1, true));

  assert.equal(after.documents.get(uri)?.shown?.isStale, true);
});
