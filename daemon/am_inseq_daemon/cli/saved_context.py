"""Files of `am-inseq attribute-context` told from those of attributions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from am_inseq.context.result import AttributeContextOutput

_KEYS: Final = ("cti_scores", "cci_scores")


def context_of(path: str) -> AttributeContextOutput | None:
    """What attribute-context saved, if the file holds that."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None  # the library says what is wrong with it
    if not all(f'"{name}"' in text for name in _KEYS):
        return None
    from am_inseq.context.files import load_attribute_context

    return load_attribute_context(path)
