import type { Command, Parts } from "./parts.js";

function move(parts: Parts, by: -1 | 0 | 1): void {
  const { store } = parts;
  const uri = store.state.active;
  if (uri !== undefined) store.dispatch({ type: "focusMoved", uri, by });
}

/** Colours the prompt for the next generated token; after the last comes the whole output. */
export const focusNext: Command = (parts) => {
  move(parts, 1);
};

/** Colours the prompt for the previous generated token. */
export const focusPrevious: Command = (parts) => {
  move(parts, -1);
};

/** Colours the prompt for the whole output. */
export const focusWhole: Command = (parts) => {
  move(parts, 0);
};
