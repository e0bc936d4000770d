import * as vscode from "vscode";

import { importantFrom } from "../state/describe.js";
import type { Command, Parts } from "./parts.js";

/** Moves the cursor to a coloured token and opens its hover, which screen readers announce. */
async function go(parts: Parts, by: -1 | 1): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) return;
  const { document } = editor;
  const { documents, settings } = parts.store.state;
  const shown = documents.get(document.uri.toString())?.shown;
  if (!shown) return;
  const span = importantFrom(shown, settings, document.offsetAt(editor.selection.active), by);
  if (!span) return;
  const text = document.getText().slice(span.start, span.end);
  const place = document.positionAt(span.start + text.length - text.trimStart().length);
  editor.selection = new vscode.Selection(place, place);
  editor.revealRange(new vscode.Range(place, place));
  await vscode.commands.executeCommand("editor.action.showHover");
}

/** To the next coloured token. */
export const nextImportant: Command = (parts) => go(parts, 1);

/** To the previous coloured token. */
export const previousImportant: Command = (parts) => go(parts, -1);
