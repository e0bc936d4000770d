import type { DaemonState } from "../client/session.js";
import type { ViewTarget, WorkProgress } from "../protocol/generated.js";
import type { Edit, Range } from "./ranges.js";
import type { Settings } from "./settings.js";

/** A stretch of the document that carries a column of the scores. */
export interface PlacedSpan extends Range {
  readonly column: number;
}

/** Scores as they are read by the views: row 0 is the whole output, row 1 + i is `targets[i]`. */
export interface Scores {
  readonly unit: string;
  readonly isSigned: boolean;
  readonly texts: readonly string[];
  readonly promptColumns: readonly number[];
  readonly targets: readonly ViewTarget[];
  readonly values: readonly (readonly number[])[];
  readonly shares: readonly (readonly number[])[];
  readonly intensities: readonly (readonly number[])[];
  readonly ranks: readonly (readonly number[])[];
}

/** Where a result comes from. */
export interface Origin {
  readonly model: string;
  readonly device: string;
  readonly method: string;
  readonly score: string;
  readonly isDemo: boolean;
  readonly seconds: number;
  readonly warnings: readonly string[];
}

/** What is on the screen of one document. */
export interface Shown {
  readonly run: number;
  readonly prompt: Range;
  readonly spans: readonly PlacedSpan[];
  readonly scores: Scores;
  readonly continuation: string;
  readonly focus: number;
  readonly isStale: boolean;
  readonly origin: Origin | undefined; // absent as long as the result is partial
}

/** A request that is being answered. */
export interface Run {
  readonly id: number;
  readonly sentPrompt: Range;
  readonly prompt: Range;
  readonly edits: readonly Edit[];
  readonly isStale: boolean;
  readonly stage: WorkProgress["stage"];
  readonly done: number;
  readonly total: number;
  readonly continuation: string | undefined;
  readonly fallback: Shown | undefined; // shown again when the run comes to nothing
}

export interface DocumentState {
  readonly shown?: Shown | undefined;
  readonly run?: Run | undefined;
  readonly failure?: string | undefined;
}

export interface State {
  readonly settings: Settings;
  readonly daemon: DaemonState;
  readonly origin: Origin | undefined; // of the newest whole result
  readonly documents: ReadonlyMap<string, DocumentState>;
  readonly active: string | undefined;
}
