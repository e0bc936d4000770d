/** Frames: what is written is read back, whatever way the bytes are cut; bad frames are refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "vscode-jsonrpc/node";

import { pack, unpack } from "../src/protocol/codec.js";
import { CONTENT_TYPE } from "../src/protocol/generated.js";
import { toRows } from "../src/protocol/tensor.js";
import { bodyLength, FrameCutter } from "../src/protocol/transport.js";

const message = (id: number, text: string): Message => {
  const made = { jsonrpc: "2.0", id, method: "echo", params: { text } };
  return made;
};

function frame(body: Uint8Array): Buffer {
  const head = `Content-Length: ${String(body.length)}\r\nContent-Type: ${CONTENT_TYPE}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

test("messages survive any cut of the stream", () => {
  const sent = [message(1, "a"), message(2, "wörld 😀".repeat(300)), message(3, "")];
  const stream = Buffer.concat(sent.map((one) => frame(pack(one))));

  for (const width of [1, 3, 64, stream.length]) {
    const cutter = new FrameCutter();
    const heard: Message[] = [];
    for (let at = 0; at < stream.length; at += width) {
      heard.push(...[...cutter.feed(stream.subarray(at, at + width))].map(unpack));
    }
    assert.deepEqual(heard, sent);
  }
});

test("a header without a length, or with another content type, is refused", () => {
  assert.equal(bodyLength(`content-length: 12\r\ncontent-type: ${CONTENT_TYPE}`), 12);
  assert.throws(() => bodyLength(`Content-Type: ${CONTENT_TYPE}`), /bad frame header/);
  assert.throws(
    () => bodyLength(`Content-Length: -1\r\nContent-Type: ${CONTENT_TYPE}`),
    /bad frame/,
  );
  assert.throws(() => bodyLength("Content-Length: 12"), /content type: none/);
});

test("a header that never ends is refused", () => {
  const cutter = new FrameCutter();

  assert.throws(() => [...cutter.feed(Buffer.alloc(5000, "x"))], /without an end/);
});

test("a body that is no message is refused", () => {
  assert.throws(() => unpack(Uint8Array.of(0x01)), TypeError);
});

test("rows of a tensor are read from bytes at any offset", () => {
  const numbers = new Float32Array([1, 2, 3, 4, 5, 6]);
  const shifted = new Uint8Array(25);
  shifted.set(new Uint8Array(numbers.buffer), 1);
  const data = shifted.subarray(1);

  assert.deepEqual(toRows({ dtype: "f32", shape: [2, 3], data }), [
    [1, 2, 3],
    [4, 5, 6],
  ]);
  assert.throws(() => toRows({ dtype: "f32", shape: [2, 2], data }), RangeError);
});
