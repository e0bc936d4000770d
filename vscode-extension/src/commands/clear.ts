import type { Command } from "./parts.js";

/** Takes the colours and the continuation off the active document. */
export const clear: Command = ({ store }) => {
  const uri = store.state.active;
  if (uri !== undefined) store.dispatch({ type: "cleared", uri });
};
