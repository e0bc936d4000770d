// Through the user interface alone: a prompt is attributed, read, edited, cancelled and recovered.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import { launchBrowser, startCodeServer, waitFor, Workbench } from "./harness.mjs";
import { ARTIFACTS, CACHE, CODE_SERVER, EXTENSIONS_DIR, PYTHON, ROOT, VSIX } from "./places.mjs";

const run = promisify(execFile);
const MODEL = process.env.AM_INSEQ_EDITOR_MODEL ?? "demo/lm";
const IS_DEMO = MODEL === "demo/lm";
const SICK = "George was sick yesterday. His colleagues asked him to come";
const CRLF = "Hello 😀 world.\r\n日本 café.\r\nCan you stop the dog from";
const MARKDOWN = "Can you stop\nthe dog from";
const OPACITIES = [0.14, 0.25, 0.37, 0.5, 0.64];
const FILES = {
  "sick.txt": `${SICK}\n\nAnother paragraph stands here.\n`,
  "crlf.txt": `First line.\r\n\r\n${CRLF}\r\n\r\nLast line.\r\n`,
  "notes.md": `# Title\n\n${MARKDOWN}\n\nMore text.\n`,
  "whole.prompt": `${SICK}\n\n`,
};

const started = Date.now();
let before = started;
function mark(text) {
  const now = Date.now();
  console.log(`${((now - started) / 1000).toFixed(1).padStart(6)} s  +${((now - before) / 1000).toFixed(1)}  ${text}`);
  before = now;
}

/** The library's own answers, computed beside the workbench. */
function askLibrary(questions) {
  return new Promise((resolve, reject) => {
    const child = spawn(PYTHON, [path.join(import.meta.dirname, "expected.py")], {
      cwd: ROOT,
      stdio: ["pipe", "pipe", "inherit"],
    });
    let out = "";
    child.stdout.on("data", (chunk) => (out += chunk));
    child.on("exit", (code) =>
      code === 0 ? resolve(JSON.parse(out)) : reject(new Error(`expected.py ended with ${code}`)),
    );
    child.stdin.end(JSON.stringify(questions.map((prompt) => ({ model: MODEL, prompt }))));
  });
}

/** The words that have to be coloured for a row of a view, with their strengths. */
function expectedColours(view, prompt, row) {
  const ranked = view.spans
    .map((span, column) => ({
      ...span,
      rank: view.ranks[row][column],
      share: view.shares[row][column],
      strength: Math.min(4, Math.floor(Math.abs(view.intensities[row][column]) * 5)),
    }))
    .filter(({ part, rank }) => part === "prompt" && rank > 0)
    .sort((a, b) => a.rank - b.rank);
  const scored = view.ranks[row].filter((rank) => rank > 0).length;
  const chosen = [];
  let covered = 0;
  for (const span of ranked.slice(0, Math.max(3, Math.ceil(scored * 0.15)))) {
    if (chosen.length >= 3 && covered >= 0.6) break;
    chosen.push(span);
    covered += span.share;
  }
  return chosen
    .sort((a, b) => a.start - b.start)
    .map(({ start, end, strength }) => ({
      text: prompt.slice(start, end).trim(),
      strength: OPACITIES[strength],
    }))
    .filter(({ text }) => text !== "");
}

async function coloursAre(wb, expected, what) {
  let seen;
  await waitFor(async () => {
    seen = (await wb.coloured()).map(({ text, strength }) => ({ text, strength }));
    return JSON.stringify(seen) === JSON.stringify(expected);
  }, what).catch(() => assert.deepEqual(seen, expected, what));
}

const shownText = (text) =>
  text
    .replace(/\r\n|\r|\n/gu, "⏎")
    .replaceAll("\t", " ")
    .replace(/[\0-\x1f]/gu, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0)));
const READY = IS_DEMO ? /ready demo\/lm on \w+/ : /ready \S+ on \w+/;

async function main(wb, server, place) {
  await wb.open(`${server.base}/?folder=${place.workspace}`);
  mark("workbench ready");
  await wb.openFile("sick.txt");
  await wb.press("Control+b"); // the side bar gives its room to the text
  await wb.statusIs(/am-inseq: off$/);
  assert.equal(await wb.notifications().count(), 0, "nothing is said before the first command");
  mark("file open, status off");

  // Attribute Selection, by keyboard alone.
  await wb.recordStatus();
  await wb.press("Control+Home", "Shift+End", "Control+k", "Control+a");
  await wb.statusIs(READY, 60_000);
  const [sick, crlf, markdown] = await place.answers;
  const statuses = await wb.recordedStatus();
  assert.ok(statuses.some((text) => /starting/.test(text)), `starting in ${statuses}`);
  assert.ok(statuses.some((text) => /working \d+ %/.test(text)), `working in ${statuses}`);
  mark(`attributed: ${statuses.filter((text) => !/working/.test(text)).join(" → ")}`);
  await wb.press("Control+End"); // the selection would cover the colours
  await coloursAre(wb, expectedColours(sick, SICK, 0), "the library's top words are coloured");
  mark(`colours: ${JSON.stringify(await wb.coloured().then((all) => all.map((one) => one.text)))}`);
  assert.equal(await wb.attached(), shownText(sick.continuation));
  if (IS_DEMO) assert.match(sick.continuation, /^ to the hospital\. He said he was fine/);
  mark(`continuation:${await wb.attached()}`);

  // Hover: numbers of the library on a token, nothing beside it.
  const top = sick.spans.findIndex((_, i) => sick.ranks[0][i] === 1);
  const word = sick.spans[top].text.trim();
  const hover = await wb.hoverText(word);
  const value = String(Number(sick.values[0][top].toPrecision(3)));
  assert.match(hover, /rank 1 of/);
  assert.ok(hover.includes(`score ${value} `), `${hover} holds ${value}`);
  assert.match(hover, /\d+ % of the whole output/);
  assert.match(hover, /[█▁]{10}/);
  await wb.shot("1-hover");
  await wb.picture("hover");
  await wb.leaveHover();
  const elsewhere = await wb.wordRect("paragraph");
  await wb.page.mouse.move(elsewhere.x + 5, elsewhere.y + 8);
  await assert.rejects(
    wb.page.locator(".monaco-hover:visible").filter({ hasText: "rank" }).waitFor({ timeout: 600 }),
  );
  mark(`hover: ${hover.split("\n")[0]}`);
  const tooltip = await wb.statusTooltip();
  if (IS_DEMO) assert.match(tooltip, /demo model: knows only its toy world/);
  assert.match(tooltip, /saliency/);

  // Focus: the prompt takes the colours of one generated token, then of the whole output again.
  const wanted = IS_DEMO ? sick.targets.findIndex(({ text }) => /hospital/.test(text)) : 2;
  await wb.press(...Array(wanted + 1).fill("Alt+."));
  await coloursAre(wb, expectedColours(sick, SICK, wanted + 1), "the focused token's colours");
  const underlined = (await wb.attachments()).filter(({ isUnderlined }) => isUnderlined);
  assert.deepEqual(
    underlined.map(({ text }) => text),
    [shownText(sick.targets[wanted].text).trimStart()],
  );
  await wb.shot("2-focus");
  await wb.picture("focus");
  mark(`focus on ${underlined[0].text}`);
  await wb.press("Alt+,");
  await coloursAre(wb, expectedColours(sick, SICK, wanted), "the token before it");
  await wb.press("Escape");
  await coloursAre(wb, expectedColours(sick, SICK, 0), "the whole output again");
  mark("focus back to the whole output");

  // Keyboard: the next important token gets the cursor and its hover.
  await wb.press("Control+Home", "Control+k", "Alt+.");
  await wb.page.locator(".monaco-hover:visible").filter({ hasText: "rank" }).first().waitFor();
  await wb.press("Escape", "Escape");
  mark("next important token by keyboard");

  // An edit: the touched word drops, the rest dims, and a click brings fresh colours.
  const fresh = await wb.coloured();
  const dropped = fresh.find(({ text }) => text.length > 3).text;
  const at = SICK.indexOf(dropped) + 2;
  await wb.press("Control+Home", ...Array(at).fill("ArrowRight"));
  await wb.page.keyboard.type("x");
  await wb.statusIs(/stale$/);
  await waitFor(async () => {
    const now = await wb.coloured();
    return (
      now.length === fresh.length - 1 &&
      now.every(({ text, strength }) =>
        fresh.some((one) => one.text === text && strength < one.strength),
      )
    );
  }, "the touched word without colour, the others dimmed");
  await wb.shot("3-stale");
  mark(`stale: ${dropped} dropped, ${fresh.length - 1} dimmed`);
  await wb.press("Backspace");
  await wb.statusIs(/stale$/);
  await wb.status().click();
  await wb.statusIs(READY);
  await coloursAre(wb, expectedColours(sick, SICK, 0), "fresh colours after a click");
  mark("attributed again by a click on the status bar");

  // Settings apply at once: colours hidden and shown, attribution when typing stops.
  await wb.change({ "am-inseq.colours.tokensPercent": 100, "am-inseq.colours.sharePercent": 100 });
  await waitFor(async () => (await wb.coloured()).length > 8, "all tokens coloured");
  await wb.change({
    "am-inseq.colours.tokensPercent": 15,
    "am-inseq.colours.sharePercent": 60,
    "am-inseq.trigger": "idle",
  });
  await coloursAre(wb, expectedColours(sick, SICK, 0), "sparse colours again");
  await wb.recordStatus();
  await wb.press("Control+Home");
  await wb.page.keyboard.type("Yes. ");
  await coloursAre(wb, expectedColours(sick, SICK, 0), "an edit before the prompt moves the colours");
  await wb.press("Control+Home", ...Array(5).fill("Delete"), ...Array(3).fill("ArrowRight"), "x", "Backspace");
  await waitFor(async () => {
    const seen = (await wb.recordedStatus()).join();
    return /stale.*ready/.test(seen);
  }, "stale, then ready, without a command");
  await coloursAre(wb, expectedColours(sick, SICK, 0), "the same colours");
  mark("settings applied at once; idle attribution");

  // Cancel during work: the daemon stops, and what was shown is still there.
  await wb.change({
    "am-inseq.trigger": "command",
    "am-inseq.method": "integrated_gradients",
    "am-inseq.maxNewTokens": 60,
  });
  await wb.statusIs(/stale$/);
  await wb.recordStatus();
  await wb.press("Control+k", "Control+a");
  await waitFor(
    async () => (await wb.recordedStatus()).some((text) => /working (?!0 )\d+ %/.test(text)),
    "progress",
  );
  assert.match(await wb.statusText(), /working/, "still at work when it is cancelled");
  await wb.status().click();
  const cancelled = Date.now();
  await wb.statusIs(/stale$/, 5000);
  const settled = Date.now() - cancelled;
  await waitFor(async () => {
    const { models } = await place.daemonStatus();
    return models.every(({ state, jobs_waiting }) => state === "ready" && jobs_waiting === 0);
  }, "a daemon without work");
  assert.equal((await wb.coloured()).length, expectedColours(sick, SICK, 0).length);
  assert.equal(await wb.notifications().count(), 0, "a cancel is no failure");
  mark(`cancelled during work, ${settled} ms from click to rest`);

  // A failure the user asked for: one notification, and nothing shown is lost.
  await wb.change({
    "am-inseq.method": "auto",
    "am-inseq.maxNewTokens": 24,
    "am-inseq.colours.palette": "purple-green",
  });
  await waitFor(async () => {
    const all = await wb.coloured();
    return all.length > 0 && all.every(({ background }) => /130, 50, 150/.test(background));
  }, "the other palette");
  await wb.press("Control+k", "Control+a");
  await wb.statusIs(READY);
  await wb.change({
    "am-inseq.colours.palette": "blue-orange",
    "am-inseq.model": path.join(place.workspace, "no-such-model"),
  });
  await wb.statusIs(/stale$/);
  await wb.press("Control+k", "Control+a");
  await wb.statusIs(/error$/);
  await wb.notifications().first().waitFor();
  assert.equal(await wb.notifications().count(), 1);
  assert.equal((await wb.coloured()).length, expectedColours(sick, SICK, 0).length);
  await wb.shot("4-error");
  mark(`error: ${(await wb.notifications().first().innerText()).split("\n").at(-1)}`);
  await wb.change({ "am-inseq.model": MODEL });
  await wb.statusIs(/error$/); // until the next request
  await wb.command("Notifications: Clear All Notifications");
  await wb.page.locator(".editor-instance .view-lines").first().click({ position: { x: 30, y: 8 } });

  // The daemon is killed: it comes back by itself, and the next request works.
  const { pid } = await place.daemonStatus();
  await wb.recordStatus();
  process.kill(pid, "SIGKILL");
  await waitFor(async () => {
    const seen = (await wb.recordedStatus()).join(" → ");
    return /daemon unreachable.*starting/.test(seen) && seen;
  }, "unreachable, then starting");
  await wb.press("Control+k", "Control+a");
  await wb.statusIs(READY, 40_000);
  assert.notEqual((await place.daemonStatus()).pid, pid);
  await coloursAre(wb, expectedColours(sick, SICK, 0), "colours from the new daemon");
  mark(`daemon killed: ${(await wb.recordedStatus()).filter((text) => !/working/.test(text)).join(" → ")}`);

  // Dark and high-contrast themes, then clear.
  await wb.change({ "workbench.colorTheme": "Dark Modern" });
  await waitFor(async () => {
    const all = await wb.coloured();
    const isDark = all.length > 0 && all.every(({ background }) => /240, 135, 30/.test(background));
    return isDark && (await wb.attached()) === shownText(sick.continuation);
  }, "dark colours and the continuation");
  await wb.shot("5-dark");
  await wb.picture("dark");
  await wb.change({ "workbench.colorTheme": "Default High Contrast" });
  await waitFor(async () => {
    const all = await wb.coloured();
    const isOutlined = ({ border, background }) => /solid/.test(border) && /, 0\)$/.test(background);
    const isPainted = all.length > 0 && all.every(isOutlined);
    return isPainted && (await wb.attached()) === shownText(sick.continuation);
  }, "borders instead of transparency");
  const { colour } = (await wb.attachments())[0];
  const channels = colour.match(/\d+/gu).slice(0, 3).map(Number);
  assert.ok(Math.min(...channels) > 100, `the continuation can be read on black: ${colour}`);
  await wb.shot("6-high-contrast");
  await wb.change({ "workbench.colorTheme": "Light Modern" });
  await coloursAre(wb, expectedColours(sick, SICK, 0), "light colours again");
  await wb.press("Control+k", "Control+Backspace");
  await waitFor(async () => (await wb.coloured()).length + (await wb.attachments()).length === 0, "nothing left");
  mark("light, dark and high-contrast themes, cleared by key");

  // CRLF, emoji and CJK: offsets stay right.
  await wb.openFile("crlf.txt");
  await wb.press("Control+Home", "ArrowDown", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown", "Shift+End");
  await wb.press("Control+k", "Control+a");
  await wb.statusIs(READY);
  await wb.press("Control+End");
  await coloursAre(wb, expectedColours(crlf, CRLF, 0), "colours in a file with CRLF and emoji");
  assert.equal(await wb.attached(), shownText(crlf.continuation));
  await wb.shot("7-crlf");
  mark(`CRLF, emoji, CJK: ${JSON.stringify(await wb.coloured().then((all) => all.map((one) => one.text)))}`);

  // Without a selection: the paragraph in Markdown, the whole file of a .prompt.
  await wb.openFile("notes.md");
  await wb.press("Control+Home", "ArrowDown", "ArrowDown", "ArrowDown", "Control+k", "Control+a");
  await wb.statusIs(READY);
  await coloursAre(wb, expectedColours(markdown, MARKDOWN, 0), "the paragraph's colours");
  await wb.openFile("whole.prompt");
  await wb.press("Control+k", "Control+a");
  await wb.statusIs(READY);
  await coloursAre(wb, expectedColours(sick, SICK, 0), "the whole file's colours");
  assert.equal(await wb.attached(), shownText(sick.continuation));
  mark("paragraph and whole file");

  // The workbench's own table of keys: ours clash with nothing that works in a text.
  await wb.command("Preferences: Open Default Keyboard Shortcuts (JSON)");
  await wb.page.locator(".tab.active").filter({ hasText: "keybindings" }).waitFor();
  const table = await waitFor(async () => {
    const text = await wb.copiedDocument();
    return text.includes("am-inseq.focusNext") && text;
  }, "the table of keys");
  assertNoClash(table);
  mark("keys checked against the workbench's own table");
}

/** Keys of ours that something else uses as well, and why that is no clash. */
function assertNoClash(table) {
  const clean = table.replaceAll(/^\s*\/\/.*$/gmu, "");
  const array = clean.slice(clean.indexOf("["), clean.lastIndexOf("]") + 1);
  const keys = JSON.parse(array.replaceAll(/,(\s*[\]}])/gu, "$1"));
  const ours = keys.filter(({ command }) => command.startsWith("am-inseq."));
  assert.equal(ours.length, 8);
  for (const { key, command } of ours) {
    if (key === "escape") continue; // shared by everything; ours yields to all that opens over a text
    const others = keys.filter(
      (one) => one.key === key && one.command !== command && !/^inKeybindings/.test(one.when ?? ""),
    );
    assert.deepEqual(others, [], `${key} belongs to ${command} alone`);
  }
}

async function install(folder) {
  fs.rmSync(EXTENSIONS_DIR, { recursive: true, force: true });
  const entry = path.join(CODE_SERVER, "out/node/entry.js");
  const args = ["--config", "/dev/null", "--user-data-dir", path.join(folder, "install")];
  await run(process.execPath, [entry, ...args, "--extensions-dir", EXTENSIONS_DIR, "--install-extension", VSIX]);
}

function prepare(folder) {
  const workspace = path.join(folder, "workspace");
  fs.mkdirSync(workspace);
  // Before the workbench opens the folder: its search for files keeps what it found.
  for (const [name, text] of Object.entries(FILES)) fs.writeFileSync(path.join(workspace, name), text);
  const runtime = path.join(folder, "run");
  const env = { ...process.env, AM_INSEQ_RUNTIME_DIR: runtime };
  const cli = (...args) => run(PYTHON, ["-m", "am_inseq_daemon.cli.main", ...args], { env, cwd: ROOT });
  return {
    workspace,
    runtime,
    answers: askLibrary([SICK, CRLF, MARKDOWN]),
    daemonStatus: async () => JSON.parse((await cli("daemon", "status", "--json")).stdout),
    stopDaemon: () => cli("daemon", "stop").catch(() => {}),
  };
}

const folder = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "ai-"));
let browser;
let server;
let place;
let wb;
try {
  fs.rmSync(ARTIFACTS, { recursive: true, force: true });
  if (!fs.existsSync(VSIX)) throw new Error("the extension is not packaged: run `npm run package`");
  if (!fs.existsSync(path.join(CACHE, "chromium-path"))) throw new Error("run setup.mjs first");
  place = prepare(folder);
  place.answers.catch(() => {}); // awaited where it is needed
  await install(folder);
  mark("extension installed");
  server = await startCodeServer({
    extensionsDir: EXTENSIONS_DIR,
    userData: path.join(folder, "user"),
    log: path.join(folder, "code-server.log"),
    env: { HF_HUB_OFFLINE: "1" },
    settings: { "am-inseq.model": MODEL },
    machine: {
      "am-inseq.pythonPath": PYTHON,
      "am-inseq.daemon.runtimeDirectory": place.runtime,
    },
  });
  browser = await launchBrowser();
  const context = await browser.newContext({
    viewport: { width: 1200, height: 640 },
    reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  wb = new Workbench(await context.newPage(), ARTIFACTS, server.settings);
  await main(wb, server, place);
  console.log(`editor: all steps passed in ${((Date.now() - started) / 1000).toFixed(0)} s`);
} catch (fault) {
  console.error(fault);
  process.exitCode = 1;
  await wb?.shot("failed").catch(() => {});
  const said = await wb?.notifications().allInnerTexts().catch(() => []);
  if (said?.length) console.error("notifications:", said);
} finally {
  await browser?.close().catch(() => {});
  await server?.stop();
  await place?.stopDaemon();
  if (process.exitCode) console.error(`logs are kept in ${folder}`);
  else fs.rmSync(folder, { recursive: true, force: true });
}
