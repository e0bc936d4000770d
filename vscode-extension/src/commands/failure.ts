import * as vscode from "vscode";

import { NotInstalledError } from "../client/launcher.js";
import { SECTION } from "../views/configuration.js";
import type { Parts } from "./parts.js";

const CHOOSE = "Choose Interpreter…";
const SHOW_LOG = "Show Log";

/** The sentence of an error for the user. */
export function sentence(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}

/** Says once what failed; only for what the user asked for. */
export async function say(parts: Parts, message: string, isMissing = false): Promise<void> {
  const buttons = isMissing ? [CHOOSE, SHOW_LOG] : [SHOW_LOG];
  const chosen = await vscode.window.showErrorMessage(`am-inseq: ${message}`, ...buttons);
  if (chosen === SHOW_LOG) parts.log.show(true);
  if (chosen === CHOOSE) {
    await vscode.commands.executeCommand("workbench.action.openSettings", `${SECTION}.pythonPath`);
  }
}

/** The same for a caught error. */
export function sayFault(parts: Parts, fault: unknown): Promise<void> {
  return say(parts, sentence(fault), fault instanceof NotInstalledError);
}
