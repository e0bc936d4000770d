"""What is to be attributed, with no trace of how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from am_inseq.core.specs import BoundScore


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """What the targets are set against.

    Attributes:
        ids: (target,) the token that each target is contrasted with.
        logits: (target, vocab) next-token logits in the contrast setting where it was run, else
            None: then the attributed sequence's own logits serve (Yin and Neubig 2022).
    """

    ids: Int[Tensor, " target"]
    logits: Float[Tensor, "target vocab"] | None = None

    def select(self, chosen: slice) -> Contrast:
        """The contrast of some of the targets."""
        logits = None if self.logits is None else self.logits[chosen]
        return Contrast(self.ids[chosen], logits)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One sequence, the positions to explain in it and the score that is explained.

    The token axis holds every token the model reads: encoder tokens first, if it has an encoder,
    then decoder tokens. Methods see one axis whatever the architecture.

    Attributes:
        ids: (token,) vocabulary ids.
        encoder: how many of them, from the left, the encoder reads; 0 without an encoder.
        targets: (target,) ascending positions on the token axis whose tokens are explained; each is
            predicted from the hidden state one position before.
        target_ids: (target,) the explained tokens (the last one need not be among `ids`).
        free: (token,) tokens that variants may change and that receive scores.
        baseline_ids: (token,) ids that stand for "no information"; equal to `ids` where not free.
        embeds: (token, hidden) embeddings of `ids`.
        baseline: (token, hidden) embeddings of `baseline_ids`.
        score: what is measured at each target.
        contrast: what the targets are set against, for contrastive scores.
        keep_hidden: whether contributions keep their hidden axis besides the reduced forms.
    """

    ids: Int[Tensor, " token"]
    encoder: int
    targets: Int[Tensor, " target"]
    target_ids: Int[Tensor, " target"]
    free: Bool[Tensor, " token"]
    baseline_ids: Int[Tensor, " token"]
    embeds: Float[Tensor, "token hidden"]
    baseline: Float[Tensor, "token hidden"]
    score: BoundScore
    contrast: Contrast | None = None
    keep_hidden: bool = False

    def among(self, chosen: slice) -> Task:
        """The same sequence with some of the targets."""
        return replace(
            self,
            targets=self.targets[chosen],
            target_ids=self.target_ids[chosen],
            contrast=None if self.contrast is None else self.contrast.select(chosen),
        )

    def group(self, chosen: slice) -> Task:
        """The same question about some of the targets, without the tokens after the last of them.

        A causal decoder does not read what comes after, so the answer is the same and cheaper.
        """
        targets = self.targets[chosen]
        end = int(targets[-1])
        return replace(
            self,
            ids=self.ids[:end],
            targets=targets,
            target_ids=self.target_ids[chosen],
            free=self.free[:end],
            baseline_ids=self.baseline_ids[:end],
            embeds=self.embeds[:end],
            baseline=self.baseline[:end],
            contrast=None if self.contrast is None else self.contrast.select(chosen),
        )

    @property
    def reachable(self) -> Bool[Tensor, "target token"]:
        """(target, token) whether the token is free and stands before the target."""
        places = torch.arange(len(self.ids), device=self.ids.device)
        return self.free[None] & (places[None] < self.targets[:, None])
