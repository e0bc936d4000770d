// Prints as JSON how fast a page is: node measure.mjs FILE
import { launch, open } from "./browser.mjs";

const browser = await launch();
const { page, complaints } = await open(browser, process.argv[2]);
await page.waitForFunction(() => document.documentElement.dataset.ready === "true");

/** Milliseconds from an event on each of some generated tokens to the frame after it is painted. */
const hovers = (count) =>
  page.evaluate(async (most) => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const options = [...document.querySelectorAll("[role=option]")];
    const step = Math.max(1, Math.floor(options.length / most));
    const times = [];
    for (let at = 0; at < options.length; at += step) {
      const before = performance.now();
      options[at].dispatchEvent(new PointerEvent("pointermove", { bubbles: true }));
      await frame();
      times.push(performance.now() - before);
    }
    return times;
  }, count);

const paint = await page.evaluate(() => ({
  first_paint_ms: performance.getEntriesByType("paint")[0]?.startTime ?? null,
  loaded_ms: performance.getEntriesByType("navigation")[0].loadEventEnd,
}));
const times = (await hovers(50)).sort((a, b) => a - b);
const matrix = await page.evaluate(async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const before = performance.now();
  document.querySelector("[data-mode=matrix]").click();
  await frame();
  const opened = performance.now() - before;
  const scroll = document.querySelector(".scroll");
  const scrolls = [];
  for (let at = 0; at < 20; at++) {
    const start = performance.now();
    scroll.scrollTop += 700;
    scroll.scrollLeft += 300;
    await frame();
    await frame();
    scrolls.push((performance.now() - start) / 2);
  }
  return { opened, scroll: scrolls.sort((a, b) => a - b) };
});
const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
console.log(
  JSON.stringify({
    ...paint,
    hover_median_ms: at(times, 0.5),
    hover_p95_ms: at(times, 0.95),
    matrix_open_ms: matrix.opened,
    matrix_scroll_median_ms: at(matrix.scroll, 0.5),
    matrix_scroll_p95_ms: at(matrix.scroll, 0.95),
    complaints,
  }),
);
await browser.close();
