import * as vscode from "vscode";

import { table } from "../state/describe.js";
import type { State } from "../state/model.js";
import type { Store } from "../state/store.js";

const SCHEME = "am-inseq-scores";

/** Address of the table that belongs to a document. */
export function scoresUri(document: vscode.Uri): vscode.Uri {
  return vscode.Uri.from({
    scheme: SCHEME,
    path: `${document.path}.scores.txt`,
    query: document.toString(),
  });
}

/** Serves the scores of a document as a table of plain text that follows the state. */
export function scoresDocuments(store: Store<State, never>): vscode.Disposable {
  const changed = new vscode.EventEmitter<vscode.Uri>();
  const open = new Map<string, unknown>();
  const stop = store.subscribe(({ documents }) => {
    for (const [uri, before] of open) {
      const shown = documents.get(uri)?.shown;
      if (shown === before) continue;
      open.set(uri, shown);
      changed.fire(scoresUri(vscode.Uri.parse(uri)));
    }
  });
  const provider = vscode.workspace.registerTextDocumentContentProvider(SCHEME, {
    onDidChange: changed.event,
    provideTextDocumentContent(uri) {
      const shown = store.state.documents.get(uri.query)?.shown;
      open.set(uri.query, shown);
      return shown ? table(shown) : "Nothing is attributed in this document.\n";
    },
  });
  const closed = vscode.workspace.onDidCloseTextDocument(({ uri }) => {
    if (uri.scheme === SCHEME) open.delete(uri.query);
  });
  return vscode.Disposable.from(provider, changed, closed, { dispose: stop });
}
