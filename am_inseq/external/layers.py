"""The network as a module that Captum may hang hooks on, and the layer that it attributes to."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import torch
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from am_inseq.core.evaluation import ScoreFunction
from am_inseq.core.task import Task
from am_inseq.core.tokens import Side
from am_inseq.errors import UnsupportedError
from am_inseq.external.names import PREFIX, Asked


class Hooked(nn.Module):
    """Rows of embeddings to the score of one target; the network is a part of it.

    Attributes:
        tap: passes on the activation that is attributed, so that Captum sees one tensor, whatever
            else the layer gives out.
    """

    def __init__(self, function: ScoreFunction, task: Task, asked: Asked) -> None:
        super().__init__()
        self.network: nn.Module = function.network
        self.tap = nn.Identity()
        self.function, self.task, self.asked = function, task, asked
        self.targets = slice(0, 1)
        self.side: Side = "decoder"
        self.seen = 0

    def at(self, index: int) -> Hooked:
        """The same for another target."""
        self.targets = slice(index, index + 1)
        return self

    def forward(self, rows: Tensor) -> Tensor:
        """(row,) the target's score; tokens that are not free stay."""
        end = rows.shape[1]
        here = self.task.embeds[:end].to(rows.dtype)
        before = self.seen
        kept = torch.where(self.task.free[:end, None], rows, here)
        scores = self.function.at_once(kept, self.targets)[:, 0]
        if self.asked.known.kind == "layer" and self.seen - before != 1:
            raise self.refused(
                f"runs {self.seen - before} times in a pass over embeddings, not once"
            )
        return scores

    def tapped(self, activation: Tensor) -> Tensor:
        """The activation of the layer, on its way through the tap."""
        if activation.ndim != 3:
            raise self.refused("has no (row, token, hidden) activation")
        self.seen += 1
        return self.tap(activation)

    def placed(self, found: Float[Tensor, "_ width"]) -> Float[Tensor, "token width"]:
        """The attributions of the layer's tokens on the axis of all tokens before the target."""
        cut, end = self.task.encoder, int(self.task.targets[self.targets][0])
        first, last = (0, cut) if self.side == "encoder" else (cut, end)
        if len(found) != last - first:
            raise self.refused(f"has {len(found)} positions, not one for each token")
        return pad(found, (0, 0, first, end - last))

    def refused(self, why: str) -> UnsupportedError:
        """The layer cannot be attributed to."""
        layer = self.asked.options["layer"]
        return UnsupportedError(
            f"the module {layer!r} {why}, so {PREFIX}{self.asked.inner} cannot attribute to it; "
            "name another, for example a whole block"
        )


@contextlib.contextmanager
def hooked(function: ScoreFunction, task: Task, asked: Asked) -> Generator[Hooked]:
    """Inside, the layer's activation passes through the module's tap.

    Raises:
        UnknownNameError: no module of the network has the layer's path.
        UnsupportedError: the layer is the embeddings.
    """
    module = Hooked(function, task, asked)
    if asked.known.kind != "layer":
        yield module
        return
    is_input = bool(asked.options["attribute_to_layer_input"])
    with function.tapped(asked.options["layer"], module.tapped, is_input=is_input) as side:
        module.side = side
        yield module


def unruled(network: nn.Module) -> tuple[str, ...]:
    """What to tell the user where none of Captum's DeepLIFT rules fits the network."""
    if any(type(part) in SUPPORTED_NON_LINEAR for part in network.modules()):
        return ()
    sentence = (
        "Captum's DeepLIFT has no rule for any activation of this network, so everything passes by "
        "its gradient; the method deeplift has rules for transformers"
    )
    return (sentence,)
