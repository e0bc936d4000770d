import * as vscode from "vscode";

import { scoresUri } from "../views/scoresDocument.js";
import { say } from "./failure.js";
import type { Command } from "./parts.js";

/** Opens the scores of the active document as a table of text, beside it. */
export const showScores: Command = async (parts) => {
  const document = vscode.window.activeTextEditor?.document;
  if (!document || !parts.store.state.documents.get(document.uri.toString())?.shown) {
    return say(parts, "Nothing is attributed in this document.");
  }
  await vscode.window.showTextDocument(scoresUri(document.uri), {
    viewColumn: vscode.ViewColumn.Beside,
    preserveFocus: true,
    preview: true,
  });
};
