import {
  PROTOCOL_VERSION,
  type AttributionComputeParams,
  type AttributionComputeResult,
  type InitializeResult,
  type ModelStatus,
  type ProgressValue,
} from "../protocol/generated.js";
import { open, type Link } from "./connection.js";
import type { Endpoint } from "./launcher.js";
import { delayBefore, MOST_ATTEMPTS, pause } from "./retry.js";

/** How the daemon is, as last heard from itself. */
export type DaemonState =
  | { readonly kind: "off" }
  | { readonly kind: "starting" }
  | {
      readonly kind: "connected";
      readonly server: InitializeResult;
      readonly models: readonly ModelStatus[];
    }
  | { readonly kind: "unreachable"; readonly reason: string };

/** What a session needs from outside. */
export interface SessionOptions {
  readonly version: string;
  readonly heartbeat: number;
  readonly findDaemon: () => Promise<Endpoint>;
  readonly onState: (state: DaemonState) => void;
  readonly log: (line: string) => void;
}

const HEARTBEAT_LIMIT = 10_000;

function sentence(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}

/**
 * The extension's one conversation with the daemon: it starts at the first request, is watched by
 * heartbeats, and comes back by itself when it was lost.
 */
export class Session {
  readonly #options: SessionOptions;
  #link: Link | undefined;
  #server: InitializeResult | undefined;
  #opening: Promise<Link> | undefined;
  #waiting: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isWanted = false;
  #leaving: Promise<unknown> = Promise.resolve();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** The open connection, or a new one; rejects with the reason when there is none to be had. */
  connect(): Promise<Link> {
    this.#isWanted = true;
    if (this.#link) return Promise.resolve(this.#link);
    this.#waiting?.abort(); // whoever asks now does not wait for the back-off
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Asks for an attribution; news of it arrive before the answer. */
  async compute(
    params: AttributionComputeParams,
    heard: (value: ProgressValue) => void,
    signal: AbortSignal,
  ): Promise<AttributionComputeResult> {
    const link = await this.connect();
    const work = link.listen(heard);
    const partial = link.listen(heard);
    try {
      return await link.request(
        "attribution/compute",
        { ...params, workDoneToken: work.token, partialResultToken: partial.token },
        { signal },
      );
    } finally {
      work.dispose();
      partial.dispose();
    }
  }

  /** Asks the daemon now how its models are. */
  async refresh(): Promise<void> {
    const link = this.#link;
    if (!link || !this.#server) return;
    const answer = link.request("daemon/status", {});
    const limit = setTimeout(() => {
      this.#options.log("the daemon missed a heartbeat");
      link.close();
    }, HEARTBEAT_LIMIT);
    try {
      const { models } = await answer;
      if (this.#link === link) {
        this.#options.onState({ kind: "connected", server: this.#server, models });
      }
    } catch (fault) {
      this.#options.log(`no status: ${sentence(fault)}`);
    } finally {
      clearTimeout(limit);
    }
  }

  /** Ends the daemon, if it answers, and starts a new one. */
  async restart(): Promise<void> {
    await this.stop();
    await this.connect();
  }

  /** Ends the daemon for every client. */
  async stop(): Promise<void> {
    const link = this.#link;
    this.disconnect(() =>
      link?.request("daemon/stop", {}).catch((fault: unknown) => {
        this.#options.log(`stop: ${sentence(fault)}`);
      }),
    );
    await this.#leaving;
  }

  /** Leaves the daemon alone and forgets it. */
  disconnect(farewell?: () => Promise<unknown> | undefined): void {
    this.#isWanted = false;
    this.#waiting?.abort();
    clearTimeout(this.#timer);
    const link = this.#link;
    this.#link = undefined;
    this.#leaving = Promise.resolve(farewell?.()).finally(() => link?.close());
    this.#options.onState({ kind: "off" });
  }

  async #open(): Promise<Link> {
    this.#options.onState({ kind: "starting" });
    try {
      await this.#leaving;
      const endpoint = await this.#options.findDaemon();
      const link = await open(endpoint.socket);
      const server = await this.#greet(link);
      if (!this.#isWanted) {
        link.close();
        throw new Error("The connection is not wanted any more.");
      }
      this.#adopt(link, server);
      return link;
    } catch (fault) {
      this.#options.log(`no connection: ${sentence(fault)}`);
      if (this.#isWanted) {
        this.#options.onState({ kind: "unreachable", reason: sentence(fault) });
      }
      throw fault;
    }
  }

  async #greet(link: Link): Promise<InitializeResult> {
    const limit = setTimeout(() => {
      link.close();
    }, HEARTBEAT_LIMIT);
    try {
      return await link.request("initialize", {
        protocolVersion: PROTOCOL_VERSION,
        client: { name: "am-inseq for VS Code", version: this.#options.version },
        positionEncodings: ["utf-16"],
      });
    } catch (fault) {
      link.close();
      throw fault;
    } finally {
      clearTimeout(limit);
    }
  }

  #adopt(link: Link, server: InitializeResult): void {
    this.#link = link;
    this.#server = server;
    link.onClosed = () => {
      this.#lost(link);
    };
    const { version } = server.server;
    this.#options.log(`connected to daemon ${version}, process ${String(server.pid)}`);
    this.#options.onState({ kind: "connected", server, models: [] });
    this.#beat();
  }

  #beat(): void {
    clearTimeout(this.#timer);
    void this.refresh().then(() => {
      if (!this.#link) return;
      this.#timer = setTimeout(() => {
        this.#beat();
      }, this.#options.heartbeat);
    });
  }

  #lost(link: Link): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    clearTimeout(this.#timer);
    this.#options.log("the connection to the daemon was lost");
    this.#options.onState({ kind: "unreachable", reason: "The daemon is gone." });
    void this.#recover();
  }

  async #recover(): Promise<void> {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
      this.#waiting = new AbortController();
      await pause(delayBefore(attempt + 1), this.#waiting.signal);
      if (!this.#isWanted || this.#link) return;
      try {
        await this.connect();
        return;
      } catch {
        continue; // said in the log by #open
      }
    }
  }
}
