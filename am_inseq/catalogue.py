"""What a request may name, as plain data: methods, scores, options and defaults."""

from __future__ import annotations

import inspect
from typing import Any

from am_inseq.core.specs import Option
from am_inseq.methods import METHODS
from am_inseq.request import DEFAULT_CONTRAST_METHOD, DEFAULT_METHOD, DEFAULT_SCORE
from am_inseq.scores import SCORES


def catalogue() -> dict[str, Any]:
    """Methods and scores with their options; the daemon serves it without loading torch."""
    return {
        "methods": [
            {
                "name": method.name,
                "summary": method.summary,
                "description": inspect.getdoc(method.run) or "",
                "needs_gradients": method.needs_gradients,
                "is_signed": method.is_signed,
                "cost": method.cost,
                "source": method.source,
                "options": [_option(option) for option in method.options],
            }
            for method in METHODS.values()
        ],
        "scores": [
            {
                "name": score.name,
                "summary": score.summary,
                "description": inspect.getdoc(score.measure) or "",
                "unit": score.unit.value,
                "needs_contrast": score.needs_contrast,
                "options": [_option(option) for option in score.options],
            }
            for score in SCORES.values()
        ],
        "default_method": DEFAULT_METHOD,
        "default_contrast_method": DEFAULT_CONTRAST_METHOD,
        "default_score": DEFAULT_SCORE,
    }


def _option(option: Option) -> dict[str, Any]:
    return {
        "name": option.name,
        "type": option.annotation,
        "default": option.default,
        "description": option.description,
    }
