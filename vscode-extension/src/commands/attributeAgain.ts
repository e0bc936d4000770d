import * as vscode from "vscode";

import { attributeSelection } from "./attributeSelection.js";
import type { Command } from "./parts.js";
import { attribute } from "./run.js";

/** Attributes the prompt that is shown once more, as it reads now. */
export const attributeAgain: Command = async (parts) => {
  const document = vscode.window.activeTextEditor?.document;
  const shown = document && parts.store.state.documents.get(document.uri.toString())?.shown;
  if (shown) await attribute(parts, document, shown.prompt, "user");
  else await attributeSelection(parts);
};
