/** The client against the real Python daemon, in a runtime directory of its own. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ResponseError } from "vscode-jsonrpc/node";

import { launch, type Endpoint } from "../src/client/launcher.js";
import { Session, type DaemonState } from "../src/client/session.js";
import { ERROR_CODES, type ProgressValue } from "../src/protocol/generated.js";
import { readScores } from "../src/state/scores.js";

const PYTHON =
  process.env["AM_INSEQ_TEST_PYTHON"] ??
  fileURLToPath(new URL("../../../.venv/bin/python", import.meta.url));
const PROMPT = "George was sick yesterday. His colleagues asked him to come";
const request = { prompt: PROMPT, model: "demo/lm" };
const never = new AbortController().signal;

let folder = "";
let session: Session;
let endpoint: Endpoint | undefined;
const states: DaemonState[] = [];
const waiting = new Set<() => void>();

/** Resolves with the next state that the session reports and the predicate accepts. */
function state(accepts: (daemon: DaemonState) => boolean): Promise<DaemonState> {
  const from = states.length;
  return new Promise((resolve) => {
    const look = (): void => {
      const found = states.slice(from).find(accepts);
      if (!found) return;
      waiting.delete(look);
      resolve(found);
    };
    waiting.add(look);
  });
}

before(async () => {
  assert.ok(existsSync(PYTHON), `no Python at ${PYTHON}: run \`make install-dev\` first`);
  folder = await mkdtemp(join(tmpdir(), "ai-"));
  const starter = { command: PYTHON, args: ["-P", "-m", "am_inseq_daemon.cli.main"] };
  session = new Session({
    version: "0",
    heartbeat: 200,
    findDaemon: async () => {
      const env = { ...process.env, AM_INSEQ_RUNTIME_DIR: folder, HF_HUB_OFFLINE: "1" };
      endpoint = await launch([{ ...starter, rule: "setting" }], env, () => undefined);
      return endpoint;
    },
    onState: (daemon) => {
      states.push(daemon);
      for (const look of [...waiting]) look();
    },
    log: () => undefined,
  });
});

after(async () => {
  await session.stop();
  await rm(folder, { recursive: true, force: true });
});

test("news come before the answer, and the last scores are those of the answer", async () => {
  const news: ProgressValue[] = [];

  const result = await session.compute(request, (value) => news.push(value), never);

  const kinds = [...new Set(news.map(({ kind }) => kind))];
  assert.deepEqual(kinds.toSorted(), ["continuation", "prompt", "scores", "work"]);
  const last = news.findLast((value) => value.kind === "scores");
  assert.deepEqual(last && readScores(last.view).ranks, readScores(result.view).ranks);
  assert.equal(readScores(result.view).values.length, result.view.targets.length + 1);
});

test("positions count UTF-16 units of the prompt that was sent, CRLF and all", async () => {
  const prompt = "Hello 😀 world.\r\nCan you stop the dog from";

  const { view } = await session.compute({ ...request, prompt }, () => undefined, never);

  const spans = view.spans.filter(({ part }) => part === "prompt");
  assert.equal(spans.map(({ start, end }) => prompt.slice(start, end)).join(""), prompt);
});

test("heartbeats say which models the daemon holds", async () => {
  const held = await state((daemon) => daemon.kind === "connected" && daemon.models.length > 0);

  assert.equal(held.kind === "connected" && held.models[0]?.model, "demo/lm");
});

test("a cancelled request is answered as cancelled, and the next one works", async () => {
  const controller = new AbortController();
  const heavy = { ...request, method: "integrated_gradients", maxNewTokens: 60 };
  const work = session.compute(
    heavy,
    (value) => {
      if (value.kind === "continuation") controller.abort();
    },
    controller.signal,
  );

  await assert.rejects(work, (fault: unknown) => {
    assert.ok(fault instanceof ResponseError);
    assert.equal(fault.code, ERROR_CODES.RequestCancelled);
    return true;
  });
  await session.compute(request, () => undefined, never);
});

test("an unknown method is refused with its code and one sentence", async () => {
  const wrong = { ...request, method: "salience" };

  await assert.rejects(
    session.compute(wrong, () => undefined, never),
    (fault: unknown) => {
      assert.ok(fault instanceof ResponseError);
      assert.equal(fault.code, ERROR_CODES.UnknownNameError);
      assert.match(fault.message, /saliency/);
      return true;
    },
  );
});

test("a killed daemon is noticed, replaced and used again", async () => {
  assert.ok(endpoint);
  const { pid } = endpoint;
  const gone = state(({ kind }) => kind === "unreachable");
  const back = state(({ kind }) => kind === "connected");

  process.kill(pid, "SIGKILL");
  await gone;
  await back;

  const { continuation } = await session.compute(request, () => undefined, never);
  assert.notEqual(endpoint.pid, pid);
  assert.ok(continuation.length > 0);
});
