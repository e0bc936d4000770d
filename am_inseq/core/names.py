"""Names that more than one layer must know."""

from __future__ import annotations

from pathlib import Path
from typing import Final

VERSION: Final = "0.1.0"
DEMO_PREFIX: Final = "demo/"
_DEMO: Final = Path(__file__).parent.parent / "demo"
DEMO_MODELS: Final[dict[str, Path]] = {
    "demo/en-fr": _DEMO / "en-fr",
    "demo/lm": _DEMO / "lm",
}
DEFAULT_MODEL: Final = "demo/lm"
AUTO: Final = "auto"
