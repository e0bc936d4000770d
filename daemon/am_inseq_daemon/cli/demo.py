"""What `make demo` runs: a sentence through a daemon of its own, then what to type next."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from am_inseq_daemon.cli.main import main

_STORY: Final = "George was sick yesterday. His colleagues asked him to come"
_QUESTION: Final = "Can you stop the dog from"
_SENTENCE: Final = "The developer argued with the designer because her idea cannot be implemented."
_NEXT: Final = """
What next:
  .venv/bin/am-inseq attribute "Hello ladies and badgers!" --model demo/en-fr --tokens
  .venv/bin/am-inseq attribute examples/instruction.prompt --json
  .venv/bin/am-inseq --help
  .venv/bin/python examples/quickstart.py
  make test        every test, the editor's included
  README.md        the editor, your own models, what the demo models are not
"""


def demo() -> int:
    """Attributes two sentences of the demo models; leaves nothing running."""
    with tempfile.TemporaryDirectory(prefix="amq-") as folder:
        os.environ["AM_INSEQ_RUNTIME_DIR"] = str(Path(folder) / "run")
        os.environ.pop("AM_INSEQ_NO_DAEMON_START", None)
        os.environ.pop("AM_INSEQ_MODEL", None)
        try:
            _say(f'Why does the demo model continue "{_STORY}" as it does?')
            code = main(["attribute", _STORY])
            _say("Why does it bark rather than cry? Orange speaks for barking, blue against.")
            code = code or main(["attribute", _QUESTION, "--contrast-target", " crying?"])
            _say("And the translation model: which English words decide the French sentence?")
            code = code or main(["attribute", _SENTENCE, "--model", "demo/en-fr", "--text"])
        finally:
            main(["daemon", "stop"])
    if not code:
        _say(_NEXT)
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"\n{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(demo())
