/** Who may start the daemon, in which order. */
import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { findStarters, launch, NotInstalledError, StartError } from "../src/client/launcher.js";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "am-inseq-launcher-"));
});
after(() => rm(folder, { recursive: true }));

async function program(name: string, script: string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return file;
}

const quiet = (): void => undefined;

async function rules(changes: { setting?: string; isTrusted?: boolean }): Promise<string[]> {
  await program("am-inseq", "exit 0");
  const starters = await findStarters({
    setting: "",
    isTrusted: true,
    workspacePythons: () => Promise.resolve(["/workspace/.venv/bin/python"]),
    path: folder,
    platform: "linux",
    ...changes,
  });
  return starters.map(({ rule }) => rule);
}

test("the setting stands alone; else the workspace comes before the path", async () => {
  assert.deepEqual(await rules({ setting: "/opt/python" }), ["setting"]);
  assert.deepEqual(await rules({}), ["workspace", "path"]);
});

test("an untrusted workspace never gets its interpreter run", async () => {
  assert.deepEqual(await rules({ isTrusted: false }), ["path"]);
});

test("a Python without am-inseq is passed over for the next one", async () => {
  const without = await program(
    "without",
    "echo \"No module named 'am_inseq_daemon'\" >&2; exit 1",
  );
  const starter = await program("with", `echo 'note'; echo '{"pid": 7, "socket": "/s"}'`);
  const starters = [without, starter].map((command) => ({
    command,
    args: [],
    rule: "workspace" as const,
  }));

  assert.deepEqual(await launch(starters, process.env, quiet), { pid: 7, socket: "/s" });
});

test("a Python that is too old is passed over for the next one", async () => {
  const old = await program("old", "echo 'unknown option -P' >&2; exit 2");
  const starter = await program("new", `echo '{"pid": 8, "socket": "/t"}'`);
  const starters = [old, starter].map((command) => ({
    command,
    args: [],
    rule: "workspace" as const,
  }));

  assert.deepEqual(await launch(starters, process.env, quiet), { pid: 8, socket: "/t" });
});

test("a daemon that does not start says why, and nothing else is tried", async () => {
  const failing = await program("failing", "echo 'trace' >&2; echo 'the disk is full' >&2; exit 1");
  const starter = { command: failing, args: [], rule: "path" as const };

  await assert.rejects(launch([starter, starter], process.env, quiet), (fault: unknown) => {
    assert.ok(fault instanceof StartError);
    assert.match(fault.message, /the disk is full/);
    return true;
  });
});

test("where nothing is installed one sentence says so", async () => {
  await assert.rejects(launch([], process.env, quiet), NotInstalledError);
  const nowhere = { command: join(folder, "absent"), args: [], rule: "setting" as const };
  await assert.rejects(launch([nowhere], process.env, quiet), /absent cannot be run/);
});
