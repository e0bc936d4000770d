"""The owner's examples as they stand in the documents, and what is put in the place of what.

`SUBSTITUTIONS` is the whole difference between an example and what is run: the library's name, the
command's name, and demo models in place of models of the hub. EXCEPTIONS.md has what is not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import am_inseq
from am_inseq.core.names import DEMO_MODELS

inseq: Any = am_inseq  # as the examples use it, which are not typed

EXAMPLES: Final = Path(__file__).parent / "examples"

SUBSTITUTIONS: Final = (
    ("import inseq", "import am_inseq as inseq"),
    ("inseq attribute-context", "am-inseq attribute-context"),
    ("Helsinki-NLP/opus-mt-en-fr", "demo/en-fr"),
    ("Helsinki-NLP/opus-mt-en-it", "demo/en-fr"),
    ("facebook/wmt19-en-de", "demo/en-fr"),
    ("gpt2-medium", "demo/lm"),
    ('from_pretrained("gpt2-xl"', f'from_pretrained("{DEMO_MODELS["demo/lm"]}"'),
    ("gpt2-xl", "demo/lm"),
    ("gpt2", "demo/lm"),
)


def example(name: str) -> str:
    """An example, word for word."""
    return (EXAMPLES / f"{name}.txt").read_text()


def substituted(name: str, *further: tuple[str, str]) -> str:
    """An example as it is run; `further` are substitutions that EXCEPTIONS.md names."""
    text = example(name)
    for old, new in further:
        assert old in text
        text = text.replace(old, new)
    for old, new in SUBSTITUTIONS:
        text = text.replace(old, new)
    return text


def run(name: str, *further: tuple[str, str]) -> dict[str, Any]:
    """The names that an example of Python leaves behind."""
    names: dict[str, Any] = {}
    exec(compile(substituted(name, *further), name, "exec"), names)  # noqa: S102 - the examples
    return names


def texts(tokens: list[Any]) -> list[str]:
    """What a list of tokens says."""
    return [token.token for token in tokens]
