import * as vscode from "vscode";

import { Flights } from "./client/flights.js";
import { findStarters, launch, type Endpoint } from "./client/launcher.js";
import { Session } from "./client/session.js";
import { follow } from "./commands/follow.js";
import type { Parts } from "./commands/parts.js";
import { COMMANDS } from "./commands/table.js";
import type { Action } from "./state/actions.js";
import type { State } from "./state/model.js";
import { INITIAL, reduce } from "./state/reduce.js";
import { Store } from "./state/store.js";
import { readSettings } from "./views/configuration.js";
import { contextKeys } from "./views/contextKeys.js";
import { DecorationPainter } from "./views/decorations.js";
import { workspacePythons } from "./views/environment.js";
import { hover } from "./views/hover.js";
import { scoresDocuments } from "./views/scoresDocument.js";
import { statusBar } from "./views/statusBar.js";

const HEARTBEAT = 5000;

async function findDaemon(
  store: Store<State, Action>,
  log: vscode.LogOutputChannel,
): Promise<Endpoint> {
  const { pythonPath, runtimeDirectory } = store.state.settings;
  const starters = await findStarters({
    setting: pythonPath,
    isTrusted: vscode.workspace.isTrusted,
    workspacePythons,
    path: process.env["PATH"] ?? "",
    platform: process.platform,
  });
  const place = runtimeDirectory === "" ? {} : { AM_INSEQ_RUNTIME_DIR: runtimeDirectory };
  return launch(starters, { ...process.env, ...place }, (line) => {
    log.info(line);
  });
}

/** Builds the parts and hands each its neighbours; decides nothing itself. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("am-inseq", { log: true });
  const store = new Store<State, Action>({ ...INITIAL, settings: readSettings() }, reduce);
  const { version } = context.extension.packageJSON as { readonly version: string };
  const session = new Session({
    version,
    heartbeat: HEARTBEAT,
    findDaemon: () => findDaemon(store, log),
    onState: (daemon) => {
      store.dispatch({ type: "daemonChanged", daemon });
    },
    log: (line) => {
      log.info(line);
    },
  });
  const parts: Parts = { store, session, flights: new Flights(), log };
  const commands = Object.entries(COMMANDS).map(([id, run]) =>
    vscode.commands.registerCommand(id, () => run(parts)),
  );
  context.subscriptions.push(
    log,
    follow(parts),
    statusBar(store),
    contextKeys(store),
    new DecorationPainter(store),
    hover(store),
    scoresDocuments(store),
    ...commands,
    {
      dispose: () => {
        session.disconnect();
      },
    },
  );
}
