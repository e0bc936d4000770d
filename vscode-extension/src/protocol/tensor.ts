import type { TensorPayload } from "./generated.js";

/**
 * The payload as a typed array.
 *
 * The bytes are copied: MessagePack hands out views into the network buffer at any offset, while a
 * Float32Array must start at a multiple of four; and `slice()` of a Node Buffer does not copy.
 */
export function toNumbers(payload: TensorPayload): Float32Array | Int32Array | Uint8Array {
  const bytes = new Uint8Array(payload.data);
  const size = payload.shape.reduce((product, length) => product * length, 1);
  const width = payload.dtype === "u8" ? 1 : 4;
  if (bytes.byteLength !== size * width) {
    throw new RangeError(`${String(size)} elements expected, got ${String(bytes.length)} bytes`);
  }
  switch (payload.dtype) {
    case "f32":
      return new Float32Array(bytes.buffer);
    case "i32":
      return new Int32Array(bytes.buffer);
    case "u8":
      return bytes;
  }
}

/** The rows of a matrix, each as plain numbers. */
export function toRows(payload: TensorPayload): readonly (readonly number[])[] {
  const [rows = 0, columns = 0] = payload.shape;
  const numbers = toNumbers(payload);
  return Array.from({ length: rows }, (_, row) => [
    ...numbers.subarray(row * columns, (row + 1) * columns),
  ]);
}
