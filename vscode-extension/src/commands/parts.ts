import type { LogOutputChannel } from "vscode";

import type { Flights } from "../client/flights.js";
import type { Session } from "../client/session.js";
import type { Action } from "../state/actions.js";
import type { State } from "../state/model.js";
import type { Store } from "../state/store.js";

/** What commands work with. */
export interface Parts {
  readonly store: Store<State, Action>;
  readonly session: Session;
  readonly flights: Flights;
  readonly log: LogOutputChannel;
}

/** A command: what runs when its id is called. */
export type Command = (parts: Parts) => void | Promise<void>;
