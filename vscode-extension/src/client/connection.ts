import { connect } from "node:net";
import {
  CancellationTokenSource,
  createMessageConnection,
  ProgressType,
  type MessageConnection,
} from "vscode-jsonrpc/node";

import { type ProgressValue, type Requests } from "../protocol/generated.js";
import { FramedReader, FramedWriter } from "../protocol/transport.js";

const CONNECT_TIMEOUT = 5000;

/** What a request may carry besides its parameters. */
export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A typed connection to the daemon; once it is closed every open request is rejected. */
export class Link {
  readonly #connection: MessageConnection;
  #tokens = 0;
  #isClosed = false;
  onClosed: (() => void) | undefined;

  constructor(connection: MessageConnection) {
    this.#connection = connection;
    connection.onError(() => {
      this.close(); // a bad frame: nothing after it can be trusted
    });
    connection.onClose(() => {
      this.close();
    });
    connection.listen();
  }

  /** Sends a request; an aborted signal asks the daemon to stop, which then answers with an error. */
  async request<M extends keyof Requests>(
    method: M,
    params: Requests[M]["params"],
    options: RequestOptions = {},
  ): Promise<Requests[M]["result"]> {
    options.signal?.throwIfAborted();
    const source = new CancellationTokenSource();
    const abort = (): void => {
      source.cancel();
    };
    options.signal?.addEventListener("abort", abort, { once: true });
    try {
      return await this.#connection.sendRequest<Requests[M]["result"]>(
        method,
        params,
        source.token,
      );
    } finally {
      options.signal?.removeEventListener("abort", abort);
      source.dispose();
    }
  }

  /** Hears the news of one request; the token goes into its parameters. */
  listen(heard: (value: ProgressValue) => void): { token: string; dispose: () => void } {
    this.#tokens += 1;
    const token = `news-${String(this.#tokens)}`;
    const handle = this.#connection.onProgress(new ProgressType<ProgressValue>(), token, heard);
    return {
      token,
      dispose: () => {
        handle.dispose();
      },
    };
  }

  /** Ends the connection; safe to call twice. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.dispose();
    this.onClosed?.();
  }
}

/** Opens a connection to the daemon that listens on `path`. */
export function open(path: string): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const timer = setTimeout(() => {
      socket.destroy(new Error("the daemon did not accept the connection"));
    }, CONNECT_TIMEOUT);
    socket.once("error", (fault) => {
      clearTimeout(timer);
      reject(fault);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(
        new Link(createMessageConnection(new FramedReader(socket), new FramedWriter(socket))),
      );
    });
  });
}
