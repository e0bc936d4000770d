/** When an attribution runs again by itself after the prompt was edited. */
export type Trigger = "command" | "save" | "idle";

export type PaletteName = "blue-orange" | "purple-green" | "blue-yellow";

/** What the user may set; names follow the settings under `am-inseq.`. */
export interface Settings {
  readonly enabled: boolean;
  readonly model: string;
  readonly method: string;
  readonly score: string;
  readonly maxNewTokens: number;
  readonly trigger: Trigger;
  readonly debounce: number;
  readonly palette: PaletteName;
  readonly sharePercent: number;
  readonly tokensPercent: number;
  readonly maximumDecorations: number;
  readonly hover: boolean;
  readonly pythonPath: string;
  readonly runtimeDirectory: string;
}

export const DEFAULTS: Settings = {
  enabled: true,
  model: "auto",
  method: "auto",
  score: "auto",
  maxNewTokens: 24,
  trigger: "command",
  debounce: 400,
  palette: "blue-orange",
  sharePercent: 60,
  tokensPercent: 15,
  maximumDecorations: 1500,
  hover: true,
  pythonPath: "",
  runtimeDirectory: "",
};

/** Key below `am-inseq.` of every setting. */
export const KEYS: Readonly<Record<keyof Settings, string>> = {
  enabled: "enabled",
  model: "model",
  method: "method",
  score: "score",
  maxNewTokens: "maxNewTokens",
  trigger: "trigger",
  debounce: "debounce",
  palette: "colours.palette",
  sharePercent: "colours.sharePercent",
  tokensPercent: "colours.tokensPercent",
  maximumDecorations: "colours.maximumDecorations",
  hover: "hover",
  pythonPath: "pythonPath",
  runtimeDirectory: "daemon.runtimeDirectory",
};

/** Whether a result made under `before` is still what would be made under `after`. */
export function asksTheSame(before: Settings, after: Settings): boolean {
  return (
    before.model === after.model &&
    before.method === after.method &&
    before.score === after.score &&
    before.maxNewTokens === after.maxNewTokens
  );
}

/** Whether the daemon has to be looked for again. */
export function findsTheSame(before: Settings, after: Settings): boolean {
  return (
    before.pythonPath === after.pythonPath && before.runtimeDirectory === after.runtimeDirectory
  );
}
