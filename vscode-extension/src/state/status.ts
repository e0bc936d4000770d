import type { DaemonState } from "../client/session.js";
import { shortName } from "./describe.js";
import type { DocumentState, Origin, Run, State } from "./model.js";

/** The states that the status bar tells apart. */
export type StatusKind =
  "off" | "starting" | "loading" | "ready" | "working" | "stale" | "unreachable" | "error";

/** What the status bar says, and which command a click runs. */
export interface Status {
  readonly kind: StatusKind;
  readonly text: string;
  readonly tooltip: string;
  readonly command: string;
}

const DEMO = "demo model: knows only its toy world";

/** Command of a click, by state. */
const COMMANDS: Record<StatusKind, string> = {
  off: "am-inseq.attributeSelection",
  starting: "am-inseq.showLog",
  loading: "am-inseq.cancel",
  ready: "am-inseq.showLog",
  working: "am-inseq.cancel",
  stale: "am-inseq.attributeAgain",
  unreachable: "am-inseq.restartDaemon",
  error: "am-inseq.showError",
};

/** How far a run is, 0 to 100: writing the continuation counts for the first fifth. */
export function progressOf(run: Run): number {
  const part = run.total > 0 ? Math.min(run.done / run.total, 1) : 0;
  if (run.stage === "generating") return Math.floor(part * 20);
  return run.stage === "attributing" ? Math.floor(20 + part * 80) : 0;
}

/** The document whose state counts: the active one, else one that is worked on. */
function current(state: State): DocumentState | undefined {
  const active = state.active === undefined ? undefined : state.documents.get(state.active);
  return active ?? [...state.documents.values()].find((document) => document.run);
}

function modelOf(state: State): string {
  const { settings, daemon, origin } = state;
  if (settings.model !== "auto") return settings.model;
  return daemon.kind === "connected" ? daemon.server.defaultModel : (origin?.model ?? "");
}

function isLoading(daemon: DaemonState, model: string): boolean {
  if (daemon.kind !== "connected") return false;
  return daemon.models.some((held) => held.state === "loading" && held.model === model);
}

function deviceOf(state: State, model: string): string | undefined {
  if (state.daemon.kind !== "connected") return undefined;
  const held = state.daemon.models.find((one) => one.model === model);
  return held?.device ?? (state.origin?.model === model ? state.origin.device : undefined);
}

function isDemo(state: State, model: string): boolean {
  return state.origin?.model === model ? state.origin.isDemo : model.startsWith("demo/");
}

function status(kind: StatusKind, text: string, lines: readonly string[]): Status {
  return { kind, text, tooltip: ["am-inseq", ...lines].join("\n"), command: COMMANDS[kind] };
}

function ofRun(run: Run, model: string, about: readonly string[]): Status {
  if (run.stage === "loading") {
    return status("loading", `loading ${shortName(model)}`, [...about, "click to cancel"]);
  }
  const stage = run.total > 0 ? `${run.stage} ${String(run.done)}/${String(run.total)}` : run.stage;
  return status("working", `working ${String(progressOf(run))} %`, [
    ...about,
    stage,
    "click to cancel",
  ]);
}

function ofDaemon(state: State, about: readonly string[]): Status {
  const { daemon } = state;
  switch (daemon.kind) {
    case "off":
      return status("off", "off", ["Select text and run “Attribute Selection”."]);
    case "starting":
      return status("starting", "starting", ["The daemon is being started.", "click for the log"]);
    case "unreachable":
      return status("unreachable", "daemon unreachable", [daemon.reason, "click to restart"]);
    case "connected": {
      const model = modelOf(state);
      const device = deviceOf(state, model);
      if (isLoading(daemon, model)) return status("loading", `loading ${shortName(model)}`, about);
      const where = device === undefined ? "" : ` on ${device}`;
      return status("ready", `ready ${shortName(model)}${where}`, [
        ...about,
        `daemon ${daemon.server.server.version}, process ${String(daemon.server.pid)}`,
        "click for the log",
      ]);
    }
  }
}

function aboutResult(origin: Origin | undefined): readonly string[] {
  if (!origin) return [];
  return [
    `method ${origin.method}, score ${origin.score}, ${origin.seconds.toFixed(2)} s`,
    ...origin.warnings,
  ];
}

/** What one document has to say; undefined where it has nothing to say. */
function ofDocument(
  document: DocumentState,
  model: string,
  about: readonly string[],
): Status | undefined {
  if (document.run) return ofRun(document.run, model, about);
  if (document.failure !== undefined) {
    return status("error", "error", [document.failure, "click to see why"]);
  }
  if (!document.shown?.isStale) return undefined;
  return status("stale", "stale", [
    ...about,
    "The prompt has changed since it was attributed.",
    "click to attribute it again",
  ]);
}

/** What the status bar says. */
export function statusOf(state: State): Status {
  if (!state.settings.enabled) return status("off", "off", ["Switched off by am-inseq.enabled."]);
  const document = current(state);
  const model = modelOf(state);
  const about = [...(isDemo(state, model) ? [DEMO] : []), ...aboutResult(document?.shown?.origin)];
  const { kind } = state.daemon;
  const isApart = kind === "starting" || kind === "unreachable";
  return (
    (isApart || !document ? undefined : ofDocument(document, model, about)) ??
    ofDaemon(state, about)
  );
}
