import type { DaemonState } from "../client/session.js";
import type { AttributionView, WorkProgress } from "../protocol/generated.js";
import type { Origin } from "./model.js";
import type { Edit, Range } from "./ranges.js";
import type { Settings } from "./settings.js";

/** Everything that can change the state. */
export type Action =
  | { readonly type: "settingsChanged"; readonly settings: Settings }
  | { readonly type: "daemonChanged"; readonly daemon: DaemonState }
  | { readonly type: "editorActivated"; readonly uri: string | undefined }
  | DocumentAction;

/** What can happen to one document. */
export type DocumentAction =
  | {
      readonly type: "runStarted";
      readonly uri: string;
      readonly id: number;
      readonly prompt: Range;
    }
  | {
      readonly type: "runAdvanced";
      readonly uri: string;
      readonly id: number;
      readonly progress: WorkProgress;
    }
  | {
      readonly type: "continuationArrived";
      readonly uri: string;
      readonly id: number;
      readonly text: string;
    }
  | {
      readonly type: "scoresArrived";
      readonly uri: string;
      readonly id: number;
      readonly view: AttributionView;
      readonly continuation: string;
      readonly origin: Origin | undefined; // present with the last scores of a run
    }
  | { readonly type: "runFailed"; readonly uri: string; readonly id: number; readonly why: string }
  | { readonly type: "runCancelled"; readonly uri: string; readonly id: number }
  | { readonly type: "documentEdited"; readonly uri: string; readonly edits: readonly Edit[] }
  | { readonly type: "focusMoved"; readonly uri: string; readonly by: -1 | 0 | 1 }
  | { readonly type: "cleared"; readonly uri: string };
