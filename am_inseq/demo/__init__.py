"""The two embedded demo models, the grammars they learned and the scripts that made them."""

from am_inseq.core.names import DEMO_MODELS

__all__ = ["DEMO_MODELS"]
