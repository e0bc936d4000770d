/** Which text is attributed when nothing is selected. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { paragraphAt, wholeText } from "../src/state/prompt.js";

function check(text: string, at: string, expected: string | undefined): void {
  const range = paragraphAt(text, text.indexOf(at));

  assert.equal(range && text.slice(range.start, range.end), expected);
}

test("the paragraph around the cursor ends at blank lines", () => {
  check("one\ntwo\n\nthree\n", "two", "one\ntwo");
  check("one\ntwo\n\nthree\n", "three", "three");
  check("one\ntwo\n \t\nthree", "one", "one\ntwo");
  check("only", "only", "only");
});

test("a paragraph with CRLF line ends keeps them inside and loses them at its end", () => {
  check("one\r\ntwo\r\n\r\nthree\r\n", "one", "one\r\ntwo");
  check("one\r\ntwo\r\n\r\nthree\r\n", "three", "three");
});

test("a blank line is in no paragraph", () => {
  assert.equal(paragraphAt("one\n\ntwo", 4), undefined);
  assert.equal(paragraphAt("", 0), undefined);
});

test("the whole text goes without the white space at its end", () => {
  assert.deepEqual(wholeText("  a b\n\n"), { start: 0, end: 5 });
  assert.equal(wholeText(" \n"), undefined);
});
