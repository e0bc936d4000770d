import { attributeAgain } from "./attributeAgain.js";
import { attributeSelection } from "./attributeSelection.js";
import { cancel } from "./cancel.js";
import { clear } from "./clear.js";
import { restartDaemon, showError, showLog, stopDaemon } from "./daemon.js";
import { focusNext, focusPrevious, focusWhole } from "./focus.js";
import { nextImportant, previousImportant } from "./important.js";
import type { Command } from "./parts.js";
import { showScores } from "./showScores.js";

/** Every command by the id that package.json contributes. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  "am-inseq.attributeSelection": attributeSelection,
  "am-inseq.attributeAgain": attributeAgain,
  "am-inseq.focusNext": focusNext,
  "am-inseq.focusPrevious": focusPrevious,
  "am-inseq.focusWhole": focusWhole,
  "am-inseq.nextImportant": nextImportant,
  "am-inseq.previousImportant": previousImportant,
  "am-inseq.showScores": showScores,
  "am-inseq.clear": clear,
  "am-inseq.cancel": cancel,
  "am-inseq.restartDaemon": restartDaemon,
  "am-inseq.stopDaemon": stopDaemon,
  "am-inseq.showLog": showLog,
  "am-inseq.showError": showError,
};
