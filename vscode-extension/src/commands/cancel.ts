import type { Command } from "./parts.js";

/** Stops the work for the active document, or all work where that has none. */
export const cancel: Command = ({ store, flights }) => {
  const { active, documents } = store.state;
  if (active !== undefined && documents.get(active)?.run) flights.cancel(active);
  else flights.cancelAll();
};
