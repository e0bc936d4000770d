import * as vscode from "vscode";

import { paragraphAt, wholeText } from "../state/prompt.js";
import type { Range } from "../state/ranges.js";
import { say } from "./failure.js";
import type { Command, Parts } from "./parts.js";
import { attribute } from "./run.js";

const PROSE = new Set(["plaintext", "markdown"]);

/** The prompt that is attributed again when the cursor stands in it. */
function staleAround(parts: Parts, uri: string, offset: number): Range | undefined {
  const shown = parts.store.state.documents.get(uri)?.shown;
  if (!shown?.isStale) return undefined;
  const { start, end } = shown.prompt;
  return start <= offset && offset <= end ? shown.prompt : undefined;
}

function chosenRange(parts: Parts, editor: vscode.TextEditor): Range | string {
  const { document, selection } = editor;
  const start = document.offsetAt(selection.start);
  if (!selection.isEmpty) return { start, end: document.offsetAt(selection.end) };
  const again = staleAround(parts, document.uri.toString(), start);
  if (again) return again;
  if (document.uri.path.endsWith(".prompt")) {
    return wholeText(document.getText()) ?? "This file is empty.";
  }
  if (!PROSE.has(document.languageId)) return "Select the text to attribute first.";
  const paragraph = paragraphAt(document.getText(), start);
  return paragraph ?? "Select some text, or put the cursor into a paragraph.";
}

/** Attributes the selection, or what stands for it where nothing is selected. */
export const attributeSelection: Command = async (parts) => {
  const editor = vscode.window.activeTextEditor;
  if (!editor) return say(parts, "Open a text and select the part to attribute.");
  if (!parts.store.state.settings.enabled) {
    return say(parts, "Switched off by the setting am-inseq.enabled.");
  }
  const range = chosenRange(parts, editor);
  if (typeof range === "string") return say(parts, range);
  const text = editor.document.getText().slice(range.start, range.end);
  if (text.trim() === "") return say(parts, "The selection holds no text.");
  await attribute(parts, editor.document, range, "user");
};
