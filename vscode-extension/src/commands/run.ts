import * as vscode from "vscode";
import { ResponseError } from "vscode-jsonrpc/node";

import {
  ERROR_CODES,
  type AttributionComputeResult,
  type ProgressValue,
} from "../protocol/generated.js";
import type { Origin } from "../state/model.js";
import type { Range } from "../state/ranges.js";
import { sayFault, sentence } from "./failure.js";
import type { Parts } from "./parts.js";

let runs = 0;

function originOf(result: AttributionComputeResult): Origin {
  const { model, device, method, score, isDemo, diagnostics } = result;
  const { seconds, warnings } = diagnostics;
  return { model, device, method, score, isDemo, seconds, warnings };
}

function wasCancelled(fault: unknown, signal: AbortSignal | undefined): boolean {
  const isAnswer = fault instanceof ResponseError && fault.code === ERROR_CODES.RequestCancelled;
  return isAnswer || fault === signal?.reason || signal?.aborted === true;
}

function hear(parts: Parts, uri: string, id: number, news: ProgressValue): void {
  const { store } = parts;
  switch (news.kind) {
    case "work":
      store.dispatch({ type: "runAdvanced", uri, id, progress: news });
      return;
    case "prompt":
      return; // the scores bring the same tokens, with their places
    case "continuation":
      store.dispatch({ type: "continuationArrived", uri, id, text: news.text });
      return;
    case "scores": {
      const { view, continuation } = news;
      store.dispatch({ type: "scoresArrived", uri, id, view, continuation, origin: undefined });
    }
  }
}

/** Attributes a stretch of a document; what comes back goes into the store as it comes. */
export async function attribute(
  parts: Parts,
  document: vscode.TextDocument,
  prompt: Range,
  askedBy: "user" | "trigger",
): Promise<void> {
  const { store, session, flights } = parts;
  const uri = document.uri.toString();
  const { model, method, score, maxNewTokens } = store.state.settings;
  const text = document.getText(
    new vscode.Range(document.positionAt(prompt.start), document.positionAt(prompt.end)),
  );
  runs += 1;
  const id = runs;
  store.dispatch({ type: "runStarted", uri, id, prompt });
  let flight: AbortSignal | undefined;
  try {
    const result = await flights.run(uri, (signal) => {
      flight = signal;
      const params = { prompt: text, model, method, score, maxNewTokens };
      return session.compute(
        params,
        (news) => {
          hear(parts, uri, id, news);
        },
        signal,
      );
    });
    const { view, continuation } = result;
    store.dispatch({
      type: "scoresArrived",
      uri,
      id,
      view,
      continuation,
      origin: originOf(result),
    });
    void session.refresh();
  } catch (fault) {
    if (wasCancelled(fault, flight)) {
      store.dispatch({ type: "runCancelled", uri, id });
      return;
    }
    parts.log.error(sentence(fault));
    store.dispatch({ type: "runFailed", uri, id, why: sentence(fault) });
    if (askedBy === "user") void sayFault(parts, fault);
  }
}
