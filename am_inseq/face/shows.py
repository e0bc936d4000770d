"""The methods of outputs that show them; `am_inseq.face.showing` does the work."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any


class Shows(ABC):
    """What can be aggregated and shown."""

    __slots__ = ()

    @abstractmethod
    def aggregate(self, aggregator: Any = None, aggregate_fn: Any = None, **kwargs: Any) -> Any:
        """The scores, made fewer."""

    def show(
        self,
        min_val: float | None = None,
        max_val: float | None = None,
        max_show_size: int | None = None,
        show_dim: int | str | None = None,
        slice_dims: Mapping[Any, tuple[int, int]] | None = None,
        display: bool = True,
        return_html: bool = False,
        return_figure: bool = False,
        aggregator: Any = None,
        do_aggregation: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Shows the aggregated scores; see `am_inseq.show_attributions`.

        Args:
            min_val: lower end of the colours.
            max_val: upper end.
            max_show_size: of scores with further axes, the largest that is shown beside the tokens.
            show_dim: of these, the axis that is.
            slice_dims: of these, axis to the range that is shown.
            display: show it, rather than only return it.
            return_html: return HTML.
            return_figure: return the figure.
            aggregator: as `aggregate` takes it.
            do_aggregation: whether to aggregate first.
            kwargs: options of the aggregators, for example select_idx=4, and others of
                `show_attributions`.
        """
        showing = import_module("am_inseq.face.showing")
        others, options = _told_apart(showing.show_attributions, kwargs)
        shown = self.aggregate(aggregator, **options) if do_aggregation else self
        show = showing.show_attributions
        if not do_aggregation and not others:
            show = showing.show_granular_attributions
            max_show_size = showing.MOST_BESIDE if max_show_size is None else max_show_size
        return show(
            shown,
            min_val=min_val,
            max_val=max_val,
            max_show_size=max_show_size,
            show_dim=show_dim,
            slice_dims=slice_dims,
            display=display,
            return_html=return_html,
            return_figure=return_figure,
            **others,
        )

    def show_granular(
        self,
        min_val: float | None = None,
        max_val: float | None = None,
        max_show_size: int | None = None,
        show_dim: int | str | None = None,
        slice_dims: Mapping[Any, tuple[int, int]] | None = None,
        display: bool = True,
        return_html: bool = False,
        return_figure: bool = False,
    ) -> Any:
        """Shows the scores with all their axes; see `am_inseq.show_granular_attributions`.

        Args:
            min_val: lower end of the colours.
            max_val: upper end.
            max_show_size: the largest axis that is shown beside the tokens.
            show_dim: the axis that is.
            slice_dims: axis to the range that is shown.
            display: show it, rather than only return it.
            return_html: return HTML.
            return_figure: return the figure.
        """
        sizes = {} if max_show_size is None else {"max_show_size": max_show_size}
        return import_module("am_inseq.face.showing").show_granular_attributions(
            self,
            min_val=min_val,
            max_val=max_val,
            show_dim=show_dim,
            slice_dims=slice_dims,
            display=display,
            return_html=return_html,
            return_figure=return_figure,
            **sizes,
        )

    def show_tokens(
        self,
        min_val: float | None = None,
        max_val: float | None = None,
        display: bool = True,
        return_html: bool = False,
        return_figure: bool = False,
        replace_char: Mapping[str, str] | None = None,
        wrap_after: int | str | Sequence[str] | None = None,
        step_score_highlight: str | None = None,
        aggregator: Any = None,
        do_aggregation: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Shows each generated token with its text; see `am_inseq.show_token_attributions`.

        Args:
            min_val: lower end of the colours.
            max_val: upper end.
            display: show it, rather than only return it.
            return_html: return HTML.
            return_figure: return the figure.
            replace_char: characters of tokens to show as others.
            wrap_after: where lines end.
            step_score_highlight: a step score that colours the generated tokens.
            aggregator: as `aggregate` takes it.
            do_aggregation: whether to aggregate first.
            kwargs: options of the aggregators.
        """
        shown = self.aggregate(aggregator, **kwargs) if do_aggregation else self
        return import_module("am_inseq.face.showing").show_token_attributions(
            shown,
            min_val=min_val,
            max_val=max_val,
            display=display,
            return_html=return_html,
            return_figure=return_figure,
            replace_char=replace_char,
            wrap_after=wrap_after,
            step_score_highlight=step_score_highlight,
        )

    def _repr_html_(self) -> str:
        return import_module("am_inseq.face.showing").notebook_html(self)


def _told_apart(function: Any, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of `function`, and the others."""
    names = inspect.signature(function).parameters
    own = {name: value for name, value in given.items() if name in names}
    return own, {name: value for name, value in given.items() if name not in own}
