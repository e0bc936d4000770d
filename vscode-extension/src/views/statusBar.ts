import * as vscode from "vscode";

import type { State } from "../state/model.js";
import { statusOf, type StatusKind } from "../state/status.js";
import type { Store } from "../state/store.js";

const ICONS: Record<StatusKind, string> = {
  off: "circle-slash",
  starting: "loading~spin",
  loading: "loading~spin",
  ready: "check",
  working: "loading~spin",
  stale: "history",
  unreachable: "debug-disconnect",
  error: "error",
};

/** The one status-bar item. */
export function statusBar(store: Store<State, never>): vscode.Disposable {
  const item = vscode.window.createStatusBarItem("status", vscode.StatusBarAlignment.Right, 90);
  item.name = "am-inseq";
  const show = (state: State): void => {
    const { kind, text, tooltip, command } = statusOf(state);
    const label = `$(${ICONS[kind]}) am-inseq: ${text}`;
    if (item.text === label && item.tooltip === tooltip) return;
    item.text = label;
    item.tooltip = tooltip;
    item.command = command;
    item.accessibilityInformation = { label: `am-inseq: ${text}`, role: "button" };
  };
  const stop = store.subscribe(show);
  show(store.state);
  item.show();
  return vscode.Disposable.from(item, { dispose: stop });
}
