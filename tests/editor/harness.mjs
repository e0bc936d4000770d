// A real VS Code workbench in headless Chromium, and a page object over it.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { findChromium } from "./browser.mjs";
import { CACHE, CODE_SERVER } from "./places.mjs";

const { chromium } = await import(
  pathToFileURL(path.join(CACHE, "node_modules/playwright-core/index.mjs")).href
);

const children = [];

/** Settings that keep the workbench quiet. */
const QUIET = {
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.welcomePage.walkthroughs.openOnInstall": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.enableExperiments": false,
  "workbench.reduceMotion": "on",
  "workbench.colorTheme": "Light Modern",
  "workbench.editor.useModal": "off",
  "chat.disableAIFeatures": true,
  "chat.commandCenter.enabled": false,
  "extensions.ignoreRecommendations": true,
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": "off",
  "update.mode": "none",
  "telemetry.telemetryLevel": "off",
  "security.workspace.trust.enabled": false,
  "git.enabled": false,
  "git.openRepositoryInParentFolders": "never",
  "window.menuBarVisibility": "compact",
  "editor.minimap.enabled": false,
  "editor.occurrencesHighlight": "off",
  "editor.selectionHighlight": false,
  "editor.hover.delay": 100,
  "editor.cursorBlinking": "solid",
  "editor.fontFamily": "DejaVu Sans Mono",
  "editor.fontSize": 16,
  "editor.wordWrap": "on",
  "editor.renderWhitespace": "none",
  "editor.unicodeHighlight.ambiguousCharacters": false,
  "files.autoSave": "off",
};

/** The condition's value once it is true; an error that names it if that takes too long. */
export async function waitFor(condition, what, timeout = 15_000) {
  const end = Date.now() + timeout;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = undefined;
    } catch (fault) {
      last = fault;
    }
    if (Date.now() > end) {
      throw new Error(`waited ${timeout} ms in vain for ${what}${last ? `: ${last.message}` : ""}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 40)); // between two looks at the screen
  }
}

function kill(child, signal) {
  try {
    process.kill(-child.pid, signal); // the whole group: code-server has children of its own
  } catch {
    // gone already
  }
}
process.once("exit", () => children.forEach((child) => kill(child, "SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(130));

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts the workbench's server; `settings` go on top of the quiet ones, `machine` are the machine's own. */
export async function startCodeServer({ extensionsDir, userData, settings, machine, env, log }) {
  const port = await freePort();
  fs.mkdirSync(path.join(userData, "User"), { recursive: true });
  const settingsFile = path.join(userData, "User/settings.json");
  const initial = { ...QUIET, ...settings };
  fs.writeFileSync(settingsFile, JSON.stringify(initial, null, 2));
  // Settings about the machine itself, such as the interpreter, count only from this file.
  fs.mkdirSync(path.join(userData, "Machine"), { recursive: true });
  fs.writeFileSync(path.join(userData, "Machine/settings.json"), JSON.stringify(machine));
  const config = path.join(userData, "config.yaml");
  fs.writeFileSync(config, "auth: none\n"); // else one is written into the user's own folder
  const out = fs.openSync(log, "w");
  const child = spawn(
    process.execPath,
    [
      path.join(CODE_SERVER, "out/node/entry.js"),
      ...["--config", config, "--auth", "none", "--bind-addr", `127.0.0.1:${port}`],
      ...["--user-data-dir", userData, "--extensions-dir", extensionsDir],
      "--disable-telemetry",
      "--disable-update-check",
      "--disable-workspace-trust",
      "--disable-getting-started-override",
    ],
    {
      stdio: ["ignore", out, out],
      detached: true,
      env: { ...process.env, EXTENSIONS_GALLERY: "{}", ...env },
    },
  );
  children.push(child);
  const base = `http://127.0.0.1:${port}`;
  await waitFor(async () => {
    if (child.exitCode !== null) throw new Error("code-server ended");
    return (await fetch(`${base}/healthz`)).ok;
  }, "code-server");
  const stop = async () => {
    kill(child, "SIGTERM");
    await Promise.race([
      new Promise((resolve) => child.once("exit", resolve)),
      new Promise((resolve) => setTimeout(resolve, 3000).unref()),
    ]);
    kill(child, "SIGKILL");
  };
  return { base, settings: initial, stop };
}

export async function launchBrowser() {
  return chromium.launch({
    executablePath: await findChromium(),
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Thin page object over the workbench. */
export class Workbench {
  constructor(page, artifacts, settings) {
    this.page = page;
    page.setDefaultTimeout(15_000);
    this.artifacts = artifacts;
    this.settings = settings;
  }

  /** Changes settings as a user does: in the file that the workbench opens for it. */
  async change(changed) {
    this.settings = { ...this.settings, ...changed };
    const text = JSON.stringify(this.settings, null, 2);
    await this.command("Preferences: Open User Settings (JSON)");
    const tab = this.page.locator(".tab.active").filter({ hasText: "settings.json" });
    await tab.waitFor();
    await this.page.locator(".editor-instance .view-line").filter({ hasText: "\":" }).first().waitFor();
    await this.page.evaluate((copied) => navigator.clipboard.writeText(copied), text);
    await this.press("Control+a", "Control+v");
    await this.page.locator(".tab.active.dirty").filter({ hasText: "settings.json" }).waitFor();
    await this.press("Control+s");
    await this.page.locator(".tab.active:not(.dirty)").filter({ hasText: "settings.json" }).waitFor();
    await tab.click({ button: "middle" });
    await tab.waitFor({ state: "detached" });
  }

  async open(url) {
    await this.page.goto(url);
    await this.page.waitForSelector(".monaco-workbench", { timeout: 60_000 });
    await this.page.waitForSelector(".explorer-folders-view .monaco-list-row", { timeout: 60_000 });
  }

  press(...keys) {
    return keys.reduce((before, key) => before.then(() => this.page.keyboard.press(key)), Promise.resolve());
  }

  async #quickInput(text) {
    const input = this.page.locator(".quick-input-widget:visible input.input");
    await input.waitFor();
    await input.fill(text);
  }

  /** Runs a command through the palette, by keyboard. */
  async command(title) {
    await this.press("F1");
    await this.#quickInput(`>${title}`);
    const rows = this.page.locator(".quick-input-list .monaco-list-row");
    await rows.filter({ hasText: title }).first().waitFor();
    await this.press("Enter");
  }

  async openFile(name) {
    await this.press("Control+p");
    await this.#quickInput(name);
    const rows = this.page.locator(".quick-input-list .monaco-list-row");
    await rows.filter({ hasText: name }).first().waitFor();
    await this.press("Enter");
    await this.page.locator(".tab.active").filter({ hasText: name }).first().waitFor();
    await this.page.locator(".editor-instance .view-lines").first().waitFor();
    await this.page.locator(".editor-instance .view-lines").first().click({ position: { x: 30, y: 8 } });
  }

  notifications() {
    return this.page.locator(".notifications-toasts .notification-list-item");
  }

  status() {
    return this.page.locator('[id="am-inseq.am-inseq.status"]');
  }

  async statusText() {
    return (await this.status().innerText()).trim();
  }

  /** Waits until the status bar says so. */
  async statusIs(pattern, timeout = 20_000) {
    let seen = "";
    try {
      return await waitFor(
        async () => pattern.test((seen = await this.statusText())) && seen,
        `status ${pattern}`,
        timeout,
      );
    } catch (fault) {
      throw new Error(`${fault.message}; it says "${seen}"`);
    }
  }

  /** Begins to record every text of the status bar. */
  recordStatus() {
    return this.page.evaluate(() => {
      globalThis.recorder?.disconnect();
      globalThis.recorded = [];
      const item = document.getElementById("am-inseq.am-inseq.status");
      const note = () => {
        const text = item.innerText.trim();
        if (globalThis.recorded.at(-1) !== text) globalThis.recorded.push(text);
      };
      note();
      globalThis.recorder = new MutationObserver(note);
      const what = { childList: true, subtree: true, characterData: true, attributes: true };
      globalThis.recorder.observe(item, what);
    });
  }

  recordedStatus() {
    return this.page.evaluate(() => globalThis.recorded);
  }

  /** What the status bar says when the mouse rests on it. */
  async statusTooltip() {
    await this.status().hover();
    const hover = this.page.locator(".monaco-hover:visible").filter({ hasText: "am-inseq" }).last();
    await hover.waitFor();
    const text = await hover.innerText();
    await this.page.mouse.move(600, 600);
    await hover.waitFor({ state: "hidden" });
    return text;
  }

  /** The client rectangle of the n-th occurrence of `word` in the visible editor. */
  wordRect(word, n = 0) {
    return this.page.evaluate(
      ([wanted, index]) => {
        const lines = document.querySelector(".editor-instance .view-lines");
        const walker = document.createTreeWalker(lines, NodeFilter.SHOW_TEXT);
        let left = index;
        for (let node; (node = walker.nextNode()); ) {
          for (let i = node.data.indexOf(wanted); i >= 0; i = node.data.indexOf(wanted, i + 1)) {
            if (left-- > 0) continue;
            const range = document.createRange();
            range.setStart(node, i);
            range.setEnd(node, i + wanted.length);
            const { x, y, width, height } = range.getBoundingClientRect();
            return { x, y, width, height };
          }
        }
        return null;
      },
      [word, n],
    );
  }

  /** Every decoration of the extension as it is drawn, with the text under it. */
  decorations() {
    return this.page.evaluate(() => {
      const words = [];
      const lines = document.querySelector(".editor-instance .view-lines");
      const walker = document.createTreeWalker(lines, NodeFilter.SHOW_TEXT);
      for (let node; (node = walker.nextNode()); ) {
        const range = document.createRange();
        for (let i = 0; i < node.data.length; i += 1) {
          range.setStart(node, i);
          range.setEnd(node, i + 1);
          const box = range.getBoundingClientRect();
          words.push({ text: node.data[i], x: box.x + box.width / 2, y: box.y + box.height / 2 });
        }
      }
      return [...document.querySelectorAll(".editor-instance .view-overlays .cdr")]
        .filter((element) => /ced-/.test(element.className))
        .map((element) => {
          const box = element.getBoundingClientRect();
          const style = getComputedStyle(element);
          const inside = words.filter(
            ({ x, y }) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom,
          );
          return {
            text: inside.map(({ text }) => text).join("").replaceAll("\u00a0", " "),
            background: style.backgroundColor,
            border: `${style.borderTopWidth} ${style.borderTopStyle} ${style.borderTopColor}`,
            x: box.x,
            y: box.y,
          };
        })
        .filter(({ background, border }) => background !== "rgba(0, 0, 0, 0)" || !border.startsWith("0px"))
        .sort((a, b) => a.y - b.y || a.x - b.x);
    });
  }

  /** The coloured words in the order of the text: [word, opacity or border width]. */
  async coloured() {
    return (await this.decorations()).map(({ text, background, border }) => {
      const alpha = /rgba\(.*, ([\d.]+)\)/.exec(background)?.[1];
      return { text, strength: Number(alpha ?? Number.parseFloat(border)), background, border };
    });
  }

  /** The pieces of text that the extension hangs behind the prompt. */
  attachments() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll(".editor-instance .view-lines span[class*='ced-']")].map(
        (element) => {
          const style = getComputedStyle(element, "::after"); // hung there by the style sheet
          const text = style.content === "none" ? "" : JSON.parse(style.content);
          return {
            text: text.replaceAll("\u00a0", " "),
            isUnderlined: style.textDecorationLine === "underline",
            colour: style.color,
          };
        },
      ),
    );
  }

  async attached() {
    return (await this.attachments()).map(({ text }) => text).join("");
  }

  /** The text of the hover over the middle of a word. */
  async hoverText(word, n = 0) {
    const box = await waitFor(() => this.wordRect(word, n), `the word ${word}`);
    await this.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 4 });
    const hover = this.page.locator(".monaco-editor .monaco-hover:visible, .monaco-hover:visible");
    const answer = hover.filter({ hasText: "rank" }).first();
    await answer.waitFor({ timeout: 8000 });
    return (await answer.innerText()).replaceAll("\u00a0", " ");
  }

  async leaveHover() {
    await this.page.mouse.move(900, 700);
    await this.page.locator(".monaco-hover:visible").first().waitFor({ state: "hidden" });
  }

  /** What the clipboard holds after copying the whole active document. */
  async copiedDocument() {
    await this.press("Control+a", "Control+c");
    return this.page.evaluate(() => navigator.clipboard.readText());
  }

  /** The text area alone, for the documents; only where a folder for pictures is named. */
  async picture(name) {
    const folder = process.env.AM_INSEQ_EDITOR_PICTURES;
    if (!folder) return;
    const box = await this.page.locator(".editor-instance").first().boundingBox();
    const clip = { x: box.x, y: box.y - 8, width: Math.min(box.width, 1010), height: 250 };
    const file = path.join(folder, `editor-${name}.png`);
    await this.page.screenshot({ path: file, animations: "disabled", clip });
  }

  async shot(name, options = {}) {
    fs.mkdirSync(this.artifacts, { recursive: true });
    const file = path.join(this.artifacts, `${name}.png`);
    await this.page.screenshot({ path: file, animations: "disabled", ...options });
    return file;
  }
}
