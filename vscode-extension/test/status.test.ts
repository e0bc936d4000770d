/** What the status bar says in each state. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { DaemonState } from "../src/client/session.js";
import type { DocumentState, Run, State } from "../src/state/model.js";
import { INITIAL } from "../src/state/reduce.js";
import { progressOf, statusOf } from "../src/state/status.js";
import { documentOf, ORIGIN } from "./sample.js";

const model = {
  model: "demo/lm",
  device: "cpu",
  state: "ready" as const,
  pid: 2,
  memoryBytes: 1,
  jobsWaiting: 0,
  idleSeconds: 0,
  lastError: null,
};
const connected: DaemonState = {
  kind: "connected",
  server: {
    protocolVersion: 1,
    server: { name: "daemon", version: "0.1" },
    positionEncoding: "utf-16",
    pid: 1,
    defaultModel: "demo/lm",
  },
  models: [],
};
const running: Run = {
  id: 1,
  sentPrompt: { start: 0, end: 1 },
  prompt: { start: 0, end: 1 },
  edits: [],
  isStale: false,
  stage: "attributing",
  done: 1,
  total: 2,
  continuation: undefined,
  fallback: undefined,
};

function check(daemon: DaemonState, document: DocumentState | undefined, text: string): void {
  const documents = new Map(document ? [["a", document]] : []);
  const state: State = { ...INITIAL, daemon, documents, active: "a" };

  assert.equal(statusOf(state).text, text);
}

test("each state has its own words", () => {
  check({ kind: "off" }, undefined, "off");
  check({ kind: "starting" }, { run: running }, "starting");
  check({ ...connected, models: [{ ...model, state: "loading" }] }, undefined, "loading demo/lm");
  check(connected, { run: { ...running, stage: "loading" } }, "loading demo/lm");
  check(connected, undefined, "ready demo/lm");
  check({ ...connected, models: [model] }, documentOf(), "ready demo/lm on cpu");
  check(connected, { run: running }, "working 60 %");
  check(connected, documentOf({ isStale: true }), "stale");
  check({ kind: "unreachable", reason: "gone" }, documentOf(), "daemon unreachable");
  check(connected, { failure: "no such model" }, "error");
});

test("a click does what the state asks for", () => {
  const command = (daemon: DaemonState, document: DocumentState): string =>
    statusOf({ ...INITIAL, daemon, documents: new Map([["a", document]]), active: "a" }).command;

  assert.equal(command(connected, { run: running }), "am-inseq.cancel");
  assert.equal(command(connected, { failure: "no" }), "am-inseq.showError");
  assert.equal(command(connected, documentOf({ isStale: true })), "am-inseq.attributeAgain");
  assert.equal(command({ kind: "unreachable", reason: "" }, {}), "am-inseq.restartDaemon");
});

test("the tooltip says that the demo model knows only its toy world", () => {
  const demo = /demo model: knows only its toy world/;

  assert.match(statusOf({ ...INITIAL, daemon: connected }).tooltip, demo);
  const settings = { ...INITIAL.settings, model: "gpt2" };
  assert.doesNotMatch(statusOf({ ...INITIAL, settings, daemon: connected }).tooltip, demo);
  assert.match(statusOf({ ...INITIAL, daemon: connected, origin: ORIGIN }).tooltip, demo);
});

test("the tooltip says with what the result was made", () => {
  const state = { ...INITIAL, daemon: connected, documents: new Map([["a", documentOf()]]) };

  assert.match(statusOf({ ...state, active: "a" }).tooltip, /occlusion, score log_probability/);
});

test("progress never goes back from writing to attributing", () => {
  const at = (stage: Run["stage"], done: number, total: number): number =>
    progressOf({ ...running, stage, done, total });

  assert.deepEqual(
    [
      at("queued", 0, 0),
      at("generating", 12, 24),
      at("attributing", 0, 4),
      at("attributing", 4, 4),
    ],
    [0, 10, 20, 100],
  );
});

test("off is said where the setting switches everything off", () => {
  const settings = { ...INITIAL.settings, enabled: false };

  assert.equal(statusOf({ ...INITIAL, settings, daemon: connected }).text, "off");
});
