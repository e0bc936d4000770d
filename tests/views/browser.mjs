// A headless Chromium and a page of am_inseq in it, with everything that it complained about.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { findChromium } from "../editor/browser.mjs";
import { CACHE, ROOT } from "../editor/places.mjs";

/** Playwright as the editor's test installs it, or named by AM_INSEQ_PLAYWRIGHT. */
function playwright() {
  const folders = [process.env.AM_INSEQ_PLAYWRIGHT, CACHE, ROOT].filter(Boolean);
  const folder = folders.find((one) => fs.existsSync(path.join(one, "node_modules/playwright-core")));
  if (!folder) throw new Error("playwright-core is missing: run `node tests/editor/setup.mjs`.");
  return createRequire(path.join(folder, "here.js"))("playwright-core");
}

export async function launch() {
  const executablePath = await findChromium();
  return playwright().chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

/** The page of a file; `complaints` fills with errors, warnings and requests to anywhere else. */
export async function open(browser, file, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(file|data|about):/.test(request.url())) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(pathToFileURL(file).href);
  return { page, complaints, close: () => context.close() };
}
