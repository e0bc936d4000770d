import type { Socket } from "node:net";
import {
  AbstractMessageReader,
  AbstractMessageWriter,
  Disposable,
  type DataCallback,
  type Message,
  type MessageReader,
  type MessageWriter,
} from "vscode-jsonrpc/node";

import { pack, unpack } from "./codec.js";
import { CONTENT_TYPE } from "./generated.js";

const HEADER_END = "\r\n\r\n";
const MAX_HEADER = 4096;

function toError(fault: unknown): Error {
  return fault instanceof Error ? fault : new Error(String(fault));
}

/** The length of the body that a header announces. */
export function bodyLength(header: string): number {
  const fields = new Map(
    header.split("\r\n").map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const length = Number(fields.get("content-length") ?? Number.NaN);
  if (!Number.isInteger(length) || length < 0) throw new Error(`bad frame header: ${header}`);
  const type = fields.get("content-type");
  if (type !== CONTENT_TYPE) throw new Error(`unexpected content type: ${type ?? "none"}`);
  return length;
}

/** Cuts a stream of bytes into the bodies of its frames. */
export class FrameCutter {
  #chunks: Buffer[] = [];
  #size = 0;
  #awaited: number | undefined;

  /** The bodies that `chunk` completes. */
  *feed(chunk: Buffer): Generator<Buffer> {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    for (;;) {
      this.#awaited ??= this.#header();
      if (this.#awaited === undefined || this.#size < this.#awaited) return;
      const body = this.#take(this.#awaited);
      this.#awaited = undefined;
      yield body;
    }
  }

  #header(): number | undefined {
    const end = this.#joined().indexOf(HEADER_END);
    if (end < 0) {
      if (this.#size > MAX_HEADER) throw new Error("a frame without an end to its header");
      return undefined;
    }
    return bodyLength(
      this.#take(end + HEADER_END.length)
        .toString("ascii")
        .trimEnd(),
    );
  }

  /** Chunks are joined only when a header is sought or a body is whole: linear, not quadratic. */
  #joined(): Buffer {
    const whole = this.#chunks.length === 1 ? this.#chunks[0] : undefined;
    const buffer = whole ?? Buffer.concat(this.#chunks, this.#size);
    this.#chunks = [buffer];
    return buffer;
  }

  #take(length: number): Buffer {
    const buffer = this.#joined();
    this.#chunks = [buffer.subarray(length)];
    this.#size -= length;
    return buffer.subarray(0, length);
  }
}

/** Reads frames from a socket; a bad frame closes it. */
export class FramedReader extends AbstractMessageReader implements MessageReader {
  readonly #socket: Socket;
  readonly #cutter = new FrameCutter();

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
  }

  listen(callback: DataCallback): Disposable {
    const onData = (chunk: Buffer): void => {
      try {
        for (const body of this.#cutter.feed(chunk)) callback(unpack(body));
      } catch (fault) {
        this.fireError(toError(fault));
        this.#socket.destroy();
      }
    };
    const onClose = (): void => {
      this.fireClose();
    };
    this.#socket.on("data", onData).on("close", onClose);
    return Disposable.create(() => this.#socket.off("data", onData).off("close", onClose));
  }
}

/** Writes frames to a socket. */
export class FramedWriter extends AbstractMessageWriter implements MessageWriter {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("error", (fault) => {
      this.fireError(fault, undefined, undefined);
    });
    socket.on("close", () => {
      this.fireClose();
    });
  }

  write(message: Message): Promise<void> {
    return new Promise((resolve, reject) => {
      const body = pack(message);
      const head = `Content-Length: ${String(body.byteLength)}\r\nContent-Type: ${CONTENT_TYPE}${HEADER_END}`;
      this.#socket.write(Buffer.concat([Buffer.from(head, "ascii"), body]), (fault) => {
        if (fault) reject(fault);
        else resolve();
      });
    });
  }

  end(): void {
    this.#socket.end();
  }

  override dispose(): void {
    super.dispose();
    this.#socket.destroy();
  }
}
