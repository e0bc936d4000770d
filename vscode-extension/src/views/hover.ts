import * as vscode from "vscode";

import { describeAt, visible, type Description } from "../state/describe.js";
import type { State } from "../state/model.js";
import type { Store } from "../state/store.js";

function markdown(document: vscode.TextDocument, description: Description): vscode.MarkdownString {
  const { span, headline, fed, source } = description;
  const range = new vscode.Range(document.positionAt(span.start), document.positionAt(span.end));
  const text = new vscode.MarkdownString();
  text.appendMarkdown("**");
  text.appendText(visible(document.getText(range)));
  text.appendMarkdown("** — ");
  text.appendText(headline);
  if (fed.length > 0) text.appendCodeblock(fed.join("\n"), "plaintext");
  else text.appendMarkdown("\n\n");
  text.appendText(source);
  return text;
}

/** Answers hovers that are exactly on a scored token, and no others. */
export function hover(store: Store<State, never>): vscode.Disposable {
  return vscode.languages.registerHoverProvider("*", {
    provideHover(document, position) {
      const { documents, settings } = store.state;
      const shown = documents.get(document.uri.toString())?.shown;
      if (!shown || !settings.hover) return undefined;
      const description = describeAt(shown, document.offsetAt(position));
      if (!description) return undefined;
      const { start, end } = description.span;
      const range = new vscode.Range(document.positionAt(start), document.positionAt(end));
      return new vscode.Hover(markdown(document, description), range);
    },
  });
}
