"""The methods and scores of the library, as the front serves them."""

from __future__ import annotations

import json
from typing import Any

from am_inseq.catalogue import catalogue
from am_inseq_daemon.protocol.codec import camel


def catalogue_json() -> str:
    """The whole of `catalogue.json`: a `CatalogueResult` in its wire form."""
    return json.dumps(_renamed(catalogue()), indent=2, ensure_ascii=False) + "\n"


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        fields: dict[str, Any] = value
        return {camel(name): _renamed(inner) for name, inner in fields.items()}
    if isinstance(value, list | tuple):
        items: Any = value
        return [_renamed(inner) for inner in items]
    return value
