import * as vscode from "vscode";

import type { Range } from "../state/ranges.js";
import { findsTheSame } from "../state/settings.js";
import { readSettings, SECTION } from "../views/configuration.js";
import { sentence } from "./failure.js";
import type { Parts } from "./parts.js";
import { attribute } from "./run.js";

/** The prompt of a document that is shown and no longer as it was attributed. */
function stalePrompt(parts: Parts, document: vscode.TextDocument): Range | undefined {
  const state = parts.store.state.documents.get(document.uri.toString());
  if (state?.run) return state.run.isStale ? state.run.prompt : undefined;
  return state?.shown?.isStale ? state.shown.prompt : undefined;
}

function attributeStale(parts: Parts, document: vscode.TextDocument): void {
  const prompt = stalePrompt(parts, document);
  if (prompt && prompt.end > prompt.start) void attribute(parts, document, prompt, "trigger");
}

/** Tells the store of edits, and attributes again after them where the user wants that. */
function followEdits(parts: Parts): vscode.Disposable {
  const { store, flights } = parts;
  const timers = new Map<string, NodeJS.Timeout>();
  const edited = vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
    const uri = document.uri.toString();
    if (!store.state.documents.has(uri)) return;
    const edits = contentChanges.map(({ rangeOffset, rangeLength, text }) => ({
      start: rangeOffset,
      removed: rangeLength,
      inserted: text.length,
    }));
    store.dispatch({ type: "documentEdited", uri, edits });
    const { trigger, debounce } = store.state.settings;
    clearTimeout(timers.get(uri));
    if (trigger !== "idle") return;
    timers.set(
      uri,
      setTimeout(() => {
        timers.delete(uri);
        attributeStale(parts, document);
      }, debounce),
    );
  });
  const saved = vscode.workspace.onDidSaveTextDocument((document) => {
    if (store.state.settings.trigger === "save") attributeStale(parts, document);
  });
  const closed = vscode.workspace.onDidCloseTextDocument((document) => {
    const uri = document.uri.toString();
    clearTimeout(timers.get(uri));
    flights.cancel(uri);
    store.dispatch({ type: "cleared", uri });
  });
  return vscode.Disposable.from(edited, saved, closed, {
    dispose: () => {
      for (const timer of timers.values()) clearTimeout(timer);
    },
  });
}

/** Applies changed settings at once. */
function followSettings(parts: Parts): vscode.Disposable {
  const { store, session, flights } = parts;
  return vscode.workspace.onDidChangeConfiguration((event) => {
    if (!event.affectsConfiguration(SECTION)) return;
    const before = store.state.settings;
    const after = readSettings();
    store.dispatch({ type: "settingsChanged", settings: after });
    const isOn = store.state.daemon.kind !== "off";
    if (!after.enabled) {
      flights.cancelAll();
      if (isOn) session.disconnect();
    } else if (isOn && !findsTheSame(before, after)) {
      session.disconnect();
      session.connect().catch((fault: unknown) => {
        parts.log.error(sentence(fault));
      });
    }
  });
}

function followEditors({ store }: Parts): vscode.Disposable {
  const show = (editor: vscode.TextEditor | undefined): void => {
    store.dispatch({ type: "editorActivated", uri: editor?.document.uri.toString() });
  };
  show(vscode.window.activeTextEditor);
  return vscode.window.onDidChangeActiveTextEditor(show);
}

/** Keeps the store true to the editor. */
export function follow(parts: Parts): vscode.Disposable {
  return vscode.Disposable.from(followEditors(parts), followEdits(parts), followSettings(parts));
}
