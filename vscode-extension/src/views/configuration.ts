import * as vscode from "vscode";

import { DEFAULTS, KEYS, type Settings } from "../state/settings.js";

export const SECTION = "am-inseq";

/** The settings in force. */
export function readSettings(): Settings {
  const section = vscode.workspace.getConfiguration(SECTION);
  const read = <K extends keyof Settings>(name: K): Settings[K] =>
    section.get<Settings[K]>(KEYS[name]) ?? DEFAULTS[name];
  return {
    enabled: read("enabled"),
    model: read("model").trim() || DEFAULTS.model,
    method: read("method"),
    score: read("score"),
    maxNewTokens: read("maxNewTokens"),
    trigger: read("trigger"),
    debounce: read("debounce"),
    palette: read("palette"),
    sharePercent: read("sharePercent"),
    tokensPercent: read("tokensPercent"),
    maximumDecorations: read("maximumDecorations"),
    hover: read("hover"),
    pythonPath: read("pythonPath").trim(),
    runtimeDirectory: read("runtimeDirectory").trim(),
  };
}
