"""Methods of other libraries, run on our tasks: Captum's, as `captum:<ClassName>`."""

from __future__ import annotations

from am_inseq.external.names import PREFIX, captum_names
from am_inseq.external.specs import captum_method

__all__ = ["PREFIX", "captum_method", "captum_names"]
