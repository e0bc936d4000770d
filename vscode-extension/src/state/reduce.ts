import type { Action, DocumentAction } from "./actions.js";
import type { DocumentState, Run, Shown, State } from "./model.js";
import { backwards, changes, grown, moved, type Edit } from "./ranges.js";
import { placeSpans, readScores } from "./scores.js";
import { asksTheSame, DEFAULTS, type Settings } from "./settings.js";

export const INITIAL: State = {
  settings: DEFAULTS,
  daemon: { kind: "off" },
  origin: undefined,
  documents: new Map(),
  active: undefined,
};

/** The state after the action; the same object where nothing changed. */
export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case "settingsChanged":
      return withSettings(state, action.settings);
    case "daemonChanged":
      return { ...state, daemon: action.daemon };
    case "editorActivated":
      return { ...state, active: action.uri };
    default: // what is left is narrowed to DocumentAction, or this does not compile
      return withDocument(state, action);
  }
}

function withSettings(state: State, settings: Settings): State {
  if (!settings.enabled) return { ...state, settings, documents: new Map() };
  if (asksTheSame(state.settings, settings)) return { ...state, settings };
  const documents = new Map(
    [...state.documents].map(([uri, { shown, run, failure }]) => [
      uri,
      {
        shown: shown && { ...shown, isStale: true },
        run: run && { ...run, isStale: true },
        failure,
      },
    ]),
  );
  return { ...state, settings, documents };
}

function withDocument(state: State, action: DocumentAction): State {
  const before = state.documents.get(action.uri) ?? {};
  const after = reduceDocument(before, action);
  if (after === before) return state;
  const documents = new Map(state.documents);
  if (after.shown ?? after.run ?? after.failure) documents.set(action.uri, after);
  else documents.delete(action.uri);
  const origin = action.type === "scoresArrived" ? (action.origin ?? state.origin) : state.origin;
  return { ...state, documents, origin };
}

function reduceDocument(before: DocumentState, action: DocumentAction): DocumentState {
  switch (action.type) {
    case "runStarted":
      return { shown: before.shown, run: newRun(action, before) };
    case "documentEdited":
      return action.edits.length === 0 ? before : edited(before, action.edits);
    case "focusMoved":
      return focused(before, action.by);
    case "cleared":
      return before.shown || before.failure ? { run: before.run } : before;
    default:
      return before.run?.id === action.id ? reduceRun(before, before.run, action) : before;
  }
}

type RunAction = Extract<
  DocumentAction,
  {
    type: "runAdvanced" | "continuationArrived" | "scoresArrived" | "runFailed" | "runCancelled";
  }
>;

function reduceRun(before: DocumentState, run: Run, action: RunAction): DocumentState {
  switch (action.type) {
    case "runAdvanced": {
      const { stage, done, total } = action.progress;
      return { ...before, run: { ...run, stage, done, total } };
    }
    case "continuationArrived":
      return { ...before, run: { ...run, continuation: action.text } };
    case "scoresArrived":
      return {
        shown: arrived(before.shown, run, action),
        run: action.origin ? undefined : run,
      };
    case "runFailed":
      return { shown: run.fallback ?? before.shown, failure: action.why };
    case "runCancelled":
      return { shown: run.fallback ?? before.shown };
  }
}

function newRun(
  action: Extract<DocumentAction, { type: "runStarted" }>,
  before: DocumentState,
): Run {
  return {
    id: action.id,
    sentPrompt: action.prompt,
    prompt: action.prompt,
    edits: [],
    isStale: false,
    stage: "queued",
    done: 0,
    total: 0,
    continuation: undefined,
    fallback: before.run?.fallback ?? before.shown,
  };
}

function arrived(
  before: Shown | undefined,
  run: Run,
  action: Extract<DocumentAction, { type: "scoresArrived" }>,
): Shown {
  const scores = readScores(action.view);
  const sent: Shown = {
    run: run.id,
    prompt: run.sentPrompt,
    spans: placeSpans(action.view, run.sentPrompt),
    scores,
    continuation: action.continuation,
    focus: before?.run === run.id ? Math.min(before.focus, scores.targets.length) : 0,
    isStale: run.isStale,
    origin: action.origin,
  };
  // What was typed while the model worked happened to this text too.
  return run.edits.reduce(editedShown, sent);
}

function edited(before: DocumentState, edits: readonly Edit[]): DocumentState {
  const ordered = backwards(edits);
  return {
    ...before,
    shown: before.shown && ordered.reduce(editedShown, before.shown),
    run: before.run && ordered.reduce(editedRun, before.run),
  };
}

function editedShown(shown: Shown, edit: Edit): Shown {
  return {
    ...shown,
    prompt: grown(shown.prompt, edit),
    spans: shown.spans.flatMap((span) => moved(span, edit) ?? []),
    isStale: shown.isStale || changes(shown.prompt, edit),
  };
}

function editedRun(run: Run, edit: Edit): Run {
  return {
    ...run,
    prompt: grown(run.prompt, edit),
    edits: [...run.edits, edit],
    isStale: run.isStale || changes(run.prompt, edit),
    fallback: run.fallback && editedShown(run.fallback, edit),
  };
}

function focused(before: DocumentState, by: -1 | 0 | 1): DocumentState {
  const { shown } = before;
  if (!shown) return before;
  const rows = shown.scores.targets.length + 1;
  const focus = by === 0 ? 0 : (shown.focus + by + rows) % rows;
  return focus === shown.focus ? before : { ...before, shown: { ...shown, focus } };
}
