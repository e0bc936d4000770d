"""What is to be attributed, with no trace of how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from am_inseq.core.scoring import BoundScore


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """What the targets are set against.

    Attributes:
        ids: (member,) the token that each target, or each token of the spans, is contrasted with.
        logits: (member, vocab) next-token logits in the contrast setting where it was run, else
            None: then the attributed sequence's own logits serve (Yin and Neubig 2022).
    """

    ids: Int[Tensor, " member"]
    logits: Float[Tensor, "member vocab"] | None = None

    def select(self, chosen: slice) -> Contrast:
        """The contrast of some of the members."""
        logits = None if self.logits is None else self.logits[chosen]
        return Contrast(self.ids[chosen], logits)


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Stretches of tokens that are one target each: the sum of the scores of their tokens.

    Attributes:
        positions: (member,) ascending positions on the token axis of the tokens in any stretch.
        ids: (member,) those tokens.
        ranges: for each target the half-open range of its members; their ends ascend.
    """

    positions: Int[Tensor, " member"]
    ids: Int[Tensor, " member"]
    ranges: tuple[tuple[int, int], ...]

    def covered(self, chosen: slice) -> slice:
        """The members that some of the targets need."""
        some = self.ranges[chosen]
        return slice(min(start for start, _ in some), max(end for _, end in some))

    def select(self, chosen: slice) -> Spans:
        """Some of the stretches."""
        kept = self.covered(chosen)
        ranges = tuple((start - kept.start, end - kept.start) for start, end in self.ranges[chosen])
        return Spans(self.positions[kept], self.ids[kept], ranges)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One sequence, the positions to explain in it and the score that is explained.

    The token axis holds every token the model reads: encoder tokens first, if it has an encoder,
    then decoder tokens. Methods see one axis whatever the architecture.

    Attributes:
        ids: (token,) vocabulary ids.
        encoder: how many of them, from the left, the encoder reads; 0 without an encoder.
        targets: (target,) ascending positions on the token axis whose tokens are explained; each is
            predicted from the hidden state one position before. Of a span its last.
        target_ids: (target,) the explained tokens (the last one need not be among `ids`).
        free: (token,) tokens that variants may change and that receive scores.
        baseline_ids: (token,) ids that stand for "no information"; equal to `ids` where not free.
        embeds: (token, hidden) embeddings of `ids`.
        baseline: (token, hidden) embeddings of `baseline_ids`.
        score: what is measured at each target.
        contrast: what the targets are set against, for contrastive scores.
        keep_hidden: whether contributions keep their hidden axis besides the reduced forms.
        pad_id: the tokenizer's padding token, if it has one.
        spans: what each target is made of, where targets are spans. Methods need not look at it:
            every answer has one row for each target, a span's being that of the summed scores.
        special: (token,) tokens that stand for no text, as the tokenizer has it; None: not known.
        dropout: (sample, member) log-probabilities of the members in passes over the unchanged
            input with dropout, for scores that need them.
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
    pad_id: int | None = None
    spans: Spans | None = None
    special: Bool[Tensor, " token"] | None = None
    dropout: Float[Tensor, "sample member"] | None = None

    @property
    def members(self) -> Int[Tensor, " member"]:
        """(member,) positions of all tokens whose scores are read: the targets, or their tokens."""
        return self.targets if self.spans is None else self.spans.positions

    @property
    def member_ids(self) -> Int[Tensor, " member"]:
        """(member,) the tokens at `members`."""
        return self.target_ids if self.spans is None else self.spans.ids

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """For each target the half-open range of its members."""
        if self.spans is not None:
            return self.spans.ranges
        return tuple((index, index + 1) for index in range(len(self.targets)))

    @property
    def membership(self) -> Bool[Tensor, "target member"]:
        """(target, member) whether the member belongs to the target."""
        bounds = torch.tensor(self.ranges, device=self.targets.device)
        places = torch.arange(len(self.members), device=self.targets.device)
        return (bounds[:, :1] <= places) & (places < bounds[:, 1:])

    def summed(self, each: Float[Tensor, "... member"]) -> Float[Tensor, "... target"]:
        """(…, target) from (…, member): sums over the members of each target."""
        if self.spans is None:
            return each
        return torch.stack([each[..., start:end].sum(-1) for start, end in self.ranges], dim=-1)

    def covered(self, chosen: slice) -> slice:
        """The members that some of the targets need."""
        return chosen if self.spans is None else self.spans.covered(chosen)

    def apart(self) -> Task:
        """The same sequence with every member as a target of its own."""
        return replace(self, targets=self.members, target_ids=self.member_ids, spans=None)

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
            contrast=None if self.contrast is None else self.contrast.select(self.covered(chosen)),
            spans=None if self.spans is None else self.spans.select(chosen),
            special=None if self.special is None else self.special[:end],
            dropout=None if self.dropout is None else self.dropout[:, self.covered(chosen)],
        )

    @property
    def reachable(self) -> Bool[Tensor, "target token"]:
        """(target, token) whether the token is free and stands before the target."""
        places = torch.arange(len(self.ids), device=self.ids.device)
        return self.free[None] & (places[None] < self.targets[:, None])
