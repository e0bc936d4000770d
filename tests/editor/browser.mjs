// Finds a Chromium: the system's, else Playwright's own download, else the distribution's package.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import { BROWSERS, CACHE } from "./places.mjs";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MAC = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

export const MISSING =
  "Chromium is missing and could be neither downloaded nor installed: install it " +
  "(Debian: `sudo apt-get install chromium`) or name one in AM_INSEQ_CHROMIUM.";

const runs = (file) =>
  spawnSync(file, ["--version", "--no-sandbox"], { timeout: 30_000 }).status === 0;

function onSystem() {
  const onPath = (process.env.PATH ?? "")
    .split(path.delimiter)
    .flatMap((folder) => NAMES.map((name) => path.join(folder, name)));
  const named = process.env.AM_INSEQ_CHROMIUM;
  const candidates = [...(named ? [named] : []), ...onPath, ...MAC];
  return candidates.find((file) => fs.existsSync(file) && runs(file));
}

function downloaded() {
  if (!fs.existsSync(BROWSERS)) return undefined;
  const found = fs
    .readdirSync(BROWSERS, { recursive: true, withFileTypes: true })
    .find((entry) => entry.isFile() && /^(headless_shell|chrome-headless-shell)$/.test(entry.name));
  const file = found && path.join(found.parentPath, found.name);
  return file && runs(file) ? file : undefined;
}

async function download(log) {
  try {
    await fetch("https://cdn.playwright.dev/", { method: "HEAD", signal: AbortSignal.timeout(5000) });
  } catch {
    return log("Playwright's download is out of reach");
  }
  log("downloading Playwright's Chromium");
  const cli = path.join(CACHE, "node_modules/playwright-core/cli.js");
  spawnSync(process.execPath, [cli, "install", "chromium-headless-shell"], {
    stdio: "ignore",
    timeout: 120_000,
    env: { ...process.env, PLAYWRIGHT_BROWSERS_PATH: BROWSERS },
  });
}

function installPackage(log) {
  if (process.getuid?.() !== 0 || !fs.existsSync("/usr/bin/apt-get")) return;
  log("installing the package chromium with apt-get");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...args) =>
    spawnSync("apt-get", ["-qq", ...args], { env, stdio: "ignore", timeout: 240_000 });
  apt("update");
  apt("install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core");
}

/** The path of a Chromium that starts; installs one where it may. */
export async function findChromium(log = () => {}) {
  const here = onSystem() ?? downloaded();
  if (here) return here;
  await download(log);
  const second = downloaded();
  if (second) return second;
  installPackage(log);
  const third = onSystem();
  if (third) return third;
  throw new Error(MISSING);
}
