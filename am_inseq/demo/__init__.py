"""The two embedded demo models, the grammars they learned and the scripts that made them."""

from pathlib import Path
from typing import Final

DEMO_MODELS: Final[dict[str, Path]] = {
    "demo/en-fr": Path(__file__).parent / "en-fr",
    "demo/lm": Path(__file__).parent / "lm",
}
"""Name of each embedded model to the folder that `transformers` loads it from."""
