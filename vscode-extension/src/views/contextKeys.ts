import * as vscode from "vscode";

import type { State } from "../state/model.js";
import type { Store } from "../state/store.js";

/** Keeps the `when` clauses of the key bindings true to the state of the active editor. */
export function contextKeys(store: Store<State, never>): vscode.Disposable {
  const set = new Map<string, boolean>();
  const show = ({ documents, active }: State): void => {
    const document = active === undefined ? undefined : documents.get(active);
    const keys = {
      "am-inseq.hasResult": document?.shown !== undefined,
      "am-inseq.isFocused": (document?.shown?.focus ?? 0) > 0,
      "am-inseq.isWorking": [...documents.values()].some(({ run }) => run !== undefined),
    };
    for (const [key, value] of Object.entries(keys)) {
      if (set.get(key) === value) continue;
      set.set(key, value);
      void vscode.commands.executeCommand("setContext", key, value);
    }
  };
  show(store.state);
  return new vscode.Disposable(store.subscribe(show));
}
