import { say, sayFault } from "./failure.js";
import type { Command } from "./parts.js";

/** Ends the daemon, where one answers, and starts another. */
export const restartDaemon: Command = async (parts) => {
  try {
    await parts.session.restart();
  } catch (fault) {
    void sayFault(parts, fault);
  }
};

/** Ends the daemon for every client on this machine. */
export const stopDaemon: Command = (parts) => parts.session.stop();

/** Opens the extension's log. */
export const showLog: Command = (parts) => {
  parts.log.show(true);
};

/** Says again why the last request of the active document failed. */
export const showError: Command = async (parts) => {
  const { active, documents } = parts.store.state;
  const failure = active === undefined ? undefined : documents.get(active)?.failure;
  await say(parts, failure ?? "Nothing has failed.");
};
