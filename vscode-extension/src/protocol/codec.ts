import { decode, encode } from "@msgpack/msgpack";
import type { Message } from "vscode-jsonrpc/node";

/** The message as a MessagePack body; absent fields are left out rather than sent as nil. */
export function pack(message: Message): Uint8Array {
  return encode(message, { ignoreUndefined: true });
}

/** The message in a MessagePack body. */
export function unpack(body: Uint8Array): Message {
  const message = decode(body);
  if (typeof message !== "object" || message === null || !("jsonrpc" in message)) {
    throw new TypeError("the body is not a JSON-RPC message");
  }
  return message as Message;
}
