// Drives pages in headless Chromium: node page.mjs FOLDER, which holds the pages of test_pages.py.
import assert from "node:assert/strict";
import path from "node:path";

import { launch, open } from "./browser.mjs";

const folder = process.argv[2];
const browser = await launch();
let failures = 0;

/** Runs one check on one page and ends with "nothing was complained about". */
async function check(name, file, body, options) {
  const { page, complaints, close } = await open(browser, path.join(folder, file), options);
  try {
    await page.waitForFunction(() => document.documentElement.dataset.ready === "true");
    await body(page);
    assert.deepEqual(complaints, []);
    console.log(`ok - ${name}`);
  } catch (error) {
    failures++;
    console.log(`FAILED - ${name}\n${error.stack}`);
  }
  await close();
}

const looks = (page, selector = ".prompt .t") =>
  page.$$eval(selector, (all) => all.map((one) => one.className.match(/ [ob]\d/)?.[0].trim() ?? ""));
const said = (page) => page.textContent(".said");
const frame = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

/** The class of every prompt token for a target, computed anew from the numbers of the page. */
const expected = (page, target, table = 0) =>
  page.evaluate(
    ([row, at]) => {
      const data = JSON.parse(document.getElementById("data").textContent);
      const one = data.sheets[0][at];
      const bytes = Uint8Array.from(atob(one.values.data), (character) => character.charCodeAt(0));
      const values = new Float32Array(bytes.buffer).map((value) => value * one.values.scale);
      const mine = values.subarray(row * one.spans.length, (row + 1) * one.spans.length);
      const largest = Math.max(...Array.from(mine, (value) => Math.abs(value) || 0));
      return one.prompt
        .filter(([, column]) => column >= 0)
        .map(([, column]) => {
          const level = data.thresholds.filter((least) => Math.abs(mine[column]) / largest >= least).length;
          return level ? `${mine[column] < 0 ? "b" : "o"}${level}` : "";
        });
    },
    [target + 1, table],
  );

await check("what stands there without a script is what the script paints", "text.html", async (page) => {
  const html = await page.innerHTML(".prompt");
  const plain = await browser.newContext({ javaScriptEnabled: false });
  const still = await plain.newPage();
  await still.goto(page.url());
  assert.equal(await still.innerHTML(".prompt"), html);
  assert.deepEqual(await looks(page), await expected(page, -1));
  await plain.close();
});

await check("a generated token under the pointer recolours the prompt, and leaving gives it back", "text.html", async (page) => {
  const before = await looks(page);
  for (const target of [1, 2]) {
    await page.locator("[role=option]").nth(target).hover();
    await frame(page);
    assert.deepEqual(await looks(page), await expected(page, target));
    assert.match(await said(page), new RegExp(`^Token ${target + 1} of 4`));
  }
  assert.notDeepEqual(await looks(page), before);
  await page.mouse.move(5, 5);
  await frame(page);
  assert.deepEqual(await looks(page), before);
  assert.match(await said(page), /^Whole output/);
});

await check("a click pins, another token does not unpin it, a second click does", "text.html", async (page) => {
  const options = page.locator("[role=option]");
  await options.nth(2).click();
  await options.nth(0).hover();
  await frame(page);
  assert.deepEqual(await looks(page), await expected(page, 2));
  assert.equal(await page.locator(".pinned").count(), 1);
  assert.equal(await options.nth(2).getAttribute("aria-selected"), "true");
  await options.nth(2).click();
  await frame(page);
  assert.equal(await page.locator(".pinned").count(), 0);
});

await check("the keyboard does all of it and what it does is announced", "text.html", async (page) => {
  await page.locator(".answer").focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await said(page), /^Token 1 of 4/);
  await page.keyboard.press("ArrowRight");
  assert.match(await said(page), /^Token 2 of 4 .*probability 0\.\d+.*Strongest: /);
  const active = await page.locator(".answer").getAttribute("aria-activedescendant");
  assert.equal(await page.locator(`#${active}`).getAttribute("aria-selected"), "true");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator(".pinned").count(), 1);
  await page.keyboard.press("ArrowDown");
  assert.match(await said(page), /rank 1 of \d+ for/);
  await page.keyboard.press("ArrowDown");
  assert.match(await said(page), /rank 2 of \d+ for/);
  assert.equal(await page.locator(".cue").count(), 1);
  await page.keyboard.press("End");
  await frame(page);
  assert.match(await said(page), /^Token 4 of 4/);
  await page.keyboard.press("Escape");
  await frame(page);
  assert.equal(await page.locator(".pinned").count(), 0);
  assert.match(await said(page), /^Whole output/);
  assert.equal(await page.locator(".said").getAttribute("aria-live"), "polite");
});

await check("units and methods switch, with their own numbers", "text.html", async (page) => {
  const selects = page.locator(".bar select");
  const units = await selects.nth(1).locator("option").allTextContents();
  assert.deepEqual(units, ["token", "word", "sentence"]); // lines are the sentences here
  const tokens = (await looks(page)).length;
  await selects.nth(1).selectOption("word");
  assert.ok((await looks(page)).length < tokens);
  assert.deepEqual(await looks(page), await expected(page, -1, 1));
  await page.locator("[role=option]").nth(0).hover();
  await frame(page);
  assert.deepEqual(await looks(page), await expected(page, 0, 1));
  await selects.nth(0).selectOption("occlusion");
  assert.deepEqual(await looks(page), await expected(page, -1, 4)); // still by word
});

await check("the numbers are a table that needs no colours", "text.html", async (page) => {
  await page.locator("[data-mode=numbers]").click();
  await page.locator(".numbers select").first().selectOption("2");
  const heads = await page.locator(".numbers thead th").allTextContents();
  assert.deepEqual(heads.slice(0, 3), ["token", "rank", "share"]);
  const ranks = await page.locator(".numbers tbody td:nth-child(2)").allTextContents();
  assert.deepEqual(ranks, [...ranks.keys()].map((at) => String(at + 1)));
  assert.match(await page.locator("caption").textContent(), /What mattered to “/);
  assert.equal(await page.locator(".text").isVisible(), false);
});

await check("tokens fold out to the text before them", "text.html", async (page) => {
  await page.locator("[data-mode=tokens]").click();
  const folds = page.locator(".fold");
  assert.equal(await folds.count(), 4);
  await folds.nth(2).locator("summary").click();
  const shown = await folds.nth(2).locator(".prompt").textContent();
  const whole = await page.evaluate(() => {
    const table = JSON.parse(document.getElementById("data").textContent).sheets[0][0];
    return [...table.prompt, ...table.answer.slice(0, table.answer.findIndex((one) => one[2] === 2))]
      .map((one) => one[0]).join("");
  });
  assert.equal(shown, whole);
});

await check("the matrix paints what is seen, follows the keyboard and pins", "long.html", async (page) => {
  await page.locator("[data-mode=matrix]").click();
  const painted = () => page.$eval("canvas", (canvas) => canvas.toDataURL());
  const first = await painted();
  await page.locator(".scroll").evaluate((box) => box.scrollTo(4000, 12000));
  await frame(page);
  assert.notEqual(await painted(), first);
  await page.locator(".scroll").focus();
  for (const key of ["ArrowDown", "ArrowRight", "ArrowRight"]) await page.keyboard.press(key);
  assert.match(await said(page), /^“.*”: .* for “/);
  await page.keyboard.press("Enter");
  assert.match(await said(page), /^Token 3 of 300/);
  const area = await page.$eval("canvas", (canvas) => canvas.width * canvas.height);
  assert.ok(area < 4e6, `the canvas has ${area} pixels`);
});

await check("a cell under the pointer says what it is", "long.html", async (page) => {
  await page.locator("[data-mode=matrix]").click();
  const box = await page.locator(".scroll").boundingBox();
  await page.mouse.move(box.x + 158, box.y + 100);
  assert.match(await page.textContent(".tip"), /^“.*”: .* % *, .*rank \d+ of 900 for “/);
});

await check("sliders choose entries of further axes", "axes.html", async (page) => {
  assert.equal(await page.locator("[data-mode=matrix]").getAttribute("aria-pressed"), "true");
  assert.equal(await page.locator(".slider").count(), 1);
  await page.locator("[data-mode=numbers]").click();
  assert.equal(await page.locator(".slider").count(), 2);
  const value = () => page.locator(".numbers tbody tr:first-child").textContent();
  const before = await value();
  await page.locator(".slider input").nth(0).fill("1");
  const after = await value();
  assert.notEqual(after, before);
  assert.equal(await page.locator(".slider output").nth(0).textContent(), "3");
});

await check("light and dark follow the system and the button", "text.html", async (page) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.getByRole("button", { name: /Theme/ }).click();
  const light = await ground();
  assert.equal(light, "rgb(255, 255, 255)");
  assert.notEqual(dark, light);
  await page.getByRole("button", { name: /Theme/ }).click();
  assert.equal(await ground(), dark);
}, { colorScheme: "dark" });

await check("hostile texts are shown as they are", "hostile.html", async (page) => {
  assert.match(await page.textContent(".prompt"), /<\/script><script>document\.title="broken"<\/script>/);
  assert.notEqual(await page.title(), "broken");
  await page.locator("[role=option]").first().click();
  await page.locator("[data-mode=numbers]").click();
  assert.match(await page.textContent(".numbers"), /<!--.*שלום/);
});

await check("several frames in one document do not know each other", "notebook.html", async (page) => {
  const frames = page.frames().slice(1);
  assert.equal(frames.length, 2);
  for (const one of frames) await one.waitForFunction(() => document.documentElement.dataset.ready === "true");
  await frames[0].locator("[role=option]").nth(1).click();
  assert.equal(await frames[0].locator(".pinned").count(), 1);
  assert.equal(await frames[1].locator(".pinned").count(), 0);
  const heights = await page.$$eval("iframe", (all) => all.map((one) => one.clientHeight));
  const inside = await Promise.all(frames.map((one) => one.evaluate(() => document.documentElement.offsetHeight)));
  for (const [at, height] of heights.entries()) assert.ok(height >= inside[at], `${height} < ${inside[at]}`);
});

await check("a narrow window has no horizontal overflow", "text.html", async (page) => {
  for (const mode of ["text", "tokens", "matrix", "numbers"]) {
    await page.locator(`[data-mode=${mode}]`).click();
    const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(inner <= outer, `${mode}: ${inner} > ${outer}`);
  }
}, { viewport: { width: 360, height: 640 } });

await check("every text on the page has a contrast of at least 4.5", "text.html", async (page) => {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const mode of ["text", "tokens", "numbers"]) {
      await page.locator(`[data-mode=${mode}]`).click();
      const bad = await page.evaluate(() => {
        const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
        const light = ([r, g, b]) =>
          [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
        const ground = (element) => {
          for (let one = element; one; one = one.parentElement) {
            const found = channels(getComputedStyle(one).backgroundColor);
            if (found.length === 3 || found[3] > 0) return found;
          }
          return [255, 255, 255];
        };
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walker.nextNode()) {
          const element = walker.currentNode.parentElement;
          if (!walker.currentNode.textContent.trim() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
          if (!element.checkVisibility()) continue;
          const [low, high] = [light(channels(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => a - b);
          const ratio = (high + 0.05) / (low + 0.05);
          if (ratio < 4.5) found.push(`${element.className} ${walker.currentNode.textContent} ${ratio.toFixed(2)}`);
        }
        return found;
      });
      assert.deepEqual(bad, [], `${scheme} ${mode}`);
    }
  }
});

await browser.close();
process.exitCode = failures ? 1 : 0;
