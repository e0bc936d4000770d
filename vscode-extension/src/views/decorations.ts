import * as vscode from "vscode";

import type { Shown, State } from "../state/model.js";
import {
  BUCKETS,
  continuationLine,
  paint,
  type Bucket,
  type ContinuationLine,
} from "../state/paint.js";
import type { PaletteName, Settings } from "../state/settings.js";
import type { Store } from "../state/store.js";
import { look, type ThemeName } from "./palette.js";

const STALE = "stale-";
type TypeName = Bucket | `${typeof STALE}${Bucket}`;
type Types = ReadonlyMap<TypeName, vscode.TextEditorDecorationType>;

/** What an editor shows, to tell whether it has to be painted again. */
interface Canvas {
  readonly types: Types | undefined;
  readonly names: ReadonlySet<TypeName>;
  readonly key: readonly unknown[];
  readonly lineKey: string;
  readonly window: Window;
}

interface Window {
  readonly first: number;
  readonly last: number;
}

const BLANK: Canvas = {
  types: undefined,
  names: new Set(),
  key: [],
  lineKey: "",
  window: { first: 0, last: -1 },
};

function themeName(): ThemeName {
  switch (vscode.window.activeColorTheme.kind) {
    case vscode.ColorThemeKind.Light:
      return "light";
    case vscode.ColorThemeKind.Dark:
      return "dark";
    case vscode.ColorThemeKind.HighContrast:
      return "highContrastDark";
    case vscode.ColorThemeKind.HighContrastLight:
      return "highContrastLight";
  }
}

/** The lines on the screen, and one screen more on both sides. */
function windowOf(editor: vscode.TextEditor): Window {
  const first = Math.min(...editor.visibleRanges.map((range) => range.start.line));
  const last = Math.max(...editor.visibleRanges.map((range) => range.end.line));
  const screen = Number.isFinite(last - first) ? last - first + 1 : 0;
  return { first: first - screen, last: last + screen };
}

/** Whether everything on the screen was painted. */
function covers(window: Window, editor: vscode.TextEditor): boolean {
  return editor.visibleRanges.every(
    ({ start, end }) => window.first <= start.line && end.line <= window.last,
  );
}

function same(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** The span in the document, without the white space around its word. */
function wordRange(document: vscode.TextDocument, start: number, end: number): vscode.Range {
  const text = document.getText(
    new vscode.Range(document.positionAt(start), document.positionAt(end)),
  );
  const kept = text.trim();
  const from = kept === "" ? start : start + text.indexOf(kept);
  const to = kept === "" ? start : from + kept.length;
  return new vscode.Range(document.positionAt(from), document.positionAt(to));
}

/** Paints every visible editor from the state. */
export class DecorationPainter implements vscode.Disposable {
  readonly #store: Store<State, never>;
  readonly #types = new Map<string, Types>();
  readonly #line: readonly vscode.TextEditorDecorationType[];
  readonly #canvases = new WeakMap<vscode.TextEditor, Canvas>();
  readonly #subscriptions: vscode.Disposable[];

  constructor(store: Store<State, never>) {
    this.#store = store;
    this.#line = lineTypes();
    const paintAll = (): void => {
      for (const editor of vscode.window.visibleTextEditors) this.#paint(editor);
    };
    this.#subscriptions = [
      new vscode.Disposable(store.subscribe(paintAll)),
      vscode.window.onDidChangeVisibleTextEditors(paintAll),
      vscode.window.onDidChangeActiveColorTheme(paintAll),
      vscode.window.onDidChangeTextEditorVisibleRanges(({ textEditor }) => {
        this.#paint(textEditor);
      }),
    ];
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions, ...this.#line).dispose();
    for (const types of this.#types.values()) vscode.Disposable.from(...types.values()).dispose();
  }

  /** The fixed set of types of a theme: made at its first use, then reused. */
  #typesOf(theme: ThemeName, palette: PaletteName): Types {
    const key = `${theme} ${palette}`;
    let types = this.#types.get(key);
    if (!types) {
      const make = (bucket: Bucket, isStale: boolean): vscode.TextEditorDecorationType =>
        vscode.window.createTextEditorDecorationType({
          ...look(bucket, theme, palette, isStale),
          rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
        });
      types = new Map<TypeName, vscode.TextEditorDecorationType>(
        BUCKETS.flatMap((bucket) => [
          [bucket, make(bucket, false)],
          [`${STALE}${bucket}`, make(bucket, true)],
        ]),
      );
      this.#types.set(key, types);
    }
    return types;
  }

  #paint(editor: vscode.TextEditor): void {
    const { documents, settings } = this.#store.state;
    const document = documents.get(editor.document.uri.toString());
    const before = this.#canvases.get(editor) ?? BLANK;
    if (!document && before === BLANK) return;
    const colours = this.#paintColours(editor, document?.shown, settings, before);
    const lineKey = this.#paintLine(editor, document && continuationLine(document), before);
    this.#canvases.set(editor, document ? { ...colours, lineKey } : BLANK);
  }

  /** Nothing is set again while only positions changed: the editor moves the ranges itself. */
  #paintColours(
    editor: vscode.TextEditor,
    shown: Shown | undefined,
    settings: Settings,
    before: Canvas,
  ): Canvas {
    const types = shown ? this.#typesOf(themeName(), settings.palette) : before.types;
    const key = shown
      ? [types, shown.scores, shown.focus, shown.isStale, shown.spans.length, settings]
      : [];
    if (same(key, before.key) && covers(before.window, editor)) return before;
    const window = windowOf(editor);
    const ranges = shown ? this.#ranges(editor.document, shown, settings, window) : new Map();
    if (before.types !== types) setAll(editor, before.types, before.names, new Map());
    const kept = before.types === types ? before.names : [];
    setAll(editor, types, new Set([...kept, ...ranges.keys()]), ranges);
    return { types, names: new Set(ranges.keys()), key, window, lineKey: before.lineKey };
  }

  #ranges(
    document: vscode.TextDocument,
    shown: Shown,
    settings: Settings,
    window: Window,
  ): Map<TypeName, vscode.Range[]> {
    const ranges = new Map<TypeName, vscode.Range[]>();
    for (const { start, end, bucket } of paint(shown, settings)) {
      const range = wordRange(document, start, end);
      if (range.isEmpty || range.end.line < window.first || range.start.line > window.last)
        continue;
      const name: TypeName = shown.isStale ? `${STALE}${bucket}` : bucket;
      const list = ranges.get(name);
      if (list) list.push(range);
      else ranges.set(name, [range]);
    }
    return ranges;
  }

  #paintLine(
    editor: vscode.TextEditor,
    line: ContinuationLine | undefined,
    before: Canvas,
  ): string {
    const key = line ? JSON.stringify([line.head, line.focused, line.tail, line.isStale]) : "";
    if (key === before.lineKey) return key;
    const attachments = line ? attachmentsOf(line, lineEnd(editor.document, line.offset)) : [];
    for (const [i, type] of this.#line.entries()) {
      editor.setDecorations(type, attachments[i] ?? []);
    }
    return key;
  }
}

const UNDERLINE = { textDecoration: "underline 2px", fontWeight: "bold" };

/** What hangs at the place, for each of the line's types. */
function attachmentsOf(
  line: ContinuationLine,
  place: vscode.Position,
): vscode.DecorationOptions[][] {
  const dimmer = line.isStale
    ? { color: new vscode.ThemeColor("disabledForeground"), fontStyle: "italic" }
    : {};
  const hang = (contentText: string, style: object): vscode.DecorationOptions[] => {
    const renderOptions = { after: { contentText, ...dimmer, ...style } };
    return contentText === "" ? [] : [{ range: new vscode.Range(place, place), renderOptions }];
  };
  return [hang(line.head, {}), hang(line.focused, UNDERLINE), hang(line.tail, {})];
}

/**
 * Types for the parts of the dimmed line: before the focused token, that token, behind it. The
 * editor draws attachments of one place in the order of their types' keys, so they are sorted.
 */
function lineTypes(): readonly vscode.TextEditorDecorationType[] {
  const color = new vscode.ThemeColor("editorCodeLens.foreground"); // set in all kinds of theme
  const types = [{}, {}, {}].map(() =>
    vscode.window.createTextEditorDecorationType({
      after: { color },
      rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
    }),
  );
  return types.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

/** Where the dimmed line hangs: after the text, never at the start of the line below it. */
function lineEnd(document: vscode.TextDocument, offset: number): vscode.Position {
  const position = document.positionAt(offset);
  if (position.character > 0 || position.line === 0) return position;
  return document.lineAt(position.line - 1).range.end;
}

function setAll(
  editor: vscode.TextEditor,
  types: Types | undefined,
  names: ReadonlySet<TypeName>,
  ranges: ReadonlyMap<TypeName, vscode.Range[]>,
): void {
  for (const name of names) {
    const type = types?.get(name);
    if (type) editor.setDecorations(type, ranges.get(name) ?? []);
  }
}
