"""The vocabulary in which methods ask for numbers.

A method yields evaluations and is sent their answers. It never sees a model, a device or a batch:
how evaluations are packed, in which order they run and how much memory they may take is the
engine's business alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from am_inseq.core.tokens import Side
from am_inseq.core.units import Layered, Pick
from am_inseq.core.variants import Factor, Moved, Placed, Rule, Variant

if TYPE_CHECKING:
    from am_inseq.core.scoring import BoundScore
    from am_inseq.core.task import Task


@dataclass(frozen=True, slots=True)
class Scores:
    """Asks for the score of every target under every variant.

    Answered by (variant, target), or by (score, variant, target) where `of` names scores; without
    the target axis where each variant has a target of its own.

    Attributes:
        variants: the inputs to score.
        of: which scores; () for the task's own.
        targets: for each variant the index of the one target that is scored; (): every target is.
        at_most: so many variants at once, or fewer; None: as many as fit.
    """

    variants: tuple[Variant, ...]
    of: tuple[BoundScore, ...] = ()
    targets: tuple[int, ...] = ()
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Contributions:
    """Asks for `factor * sum over variants of weight * d score / d embeds`, reduced over hidden.

    The sum and the reduction are part of the question, so that no engine ever has to hold one
    gradient per variant, nor, unless the task keeps it, one value per hidden coordinate.
    Answered by `Folded`.

    Attributes:
        variants: where the gradient is taken.
        weights: one for each variant.
        factor: what the gradients are multiplied by; where each variant has its own, tensors that
            broadcast to (token, hidden), one for each variant.
        own: only the tokens that a variant moves receive its gradient (`Moved.tokens`).
        rule: how the gradient is taken.
        at_most: at most so many variants in one device batch; None: as many as the budget holds.
        spread: answer the squares of the variants' totals as well (`Folded.squares`).
        each: answer the variants' totals one by one as well (`Folded.each`).
    """

    variants: tuple[Moved | Placed, ...]
    weights: tuple[float, ...]
    factor: Factor | tuple[Tensor, ...]
    own: bool = False
    rule: Rule = Rule.GRADIENT
    at_most: int | None = None
    spread: bool = False
    each: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """Contributions of every token to every target.

    Attributes:
        total: (target, token) sum over the hidden axis; signed.
        magnitude: (target, token) L2 norm over the hidden axis.
        hidden: (target, token, hidden) before reduction, where the task keeps it.
        squares: (target, token) sum over the variants of the square of what each adds to the total,
            where the spread was asked for.
        difference: (target,) score(input) - score(baseline), under Rule.DIFFERENCE.
        each: (variant, target, token) what each variant adds to the total, where asked for.
    """

    total: Float[Tensor, "target token"]
    magnitude: Float[Tensor, "target token"]
    hidden: Float[Tensor, "target token hidden"] | None
    squares: Float[Tensor, "target token"] | None = None
    difference: Float[Tensor, " target"] | None = None
    each: Float[Tensor, "variant target token"] | None = None


@dataclass(frozen=True, slots=True)
class Attentions:
    """Asks for the attention weights of the input; answered by `AttentionMaps`.

    Attributes:
        layers: which layers, of those that attend.
        heads: which heads.
    """

    layers: Pick = None
    heads: Pick = None


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMaps:
    """Attention weights where each target is predicted.

    Attributes:
        rows: (target, token, layer, head) cross-attention over encoder tokens, if any, then decoder
            self-attention over decoder tokens; 0 for tokens at or after the target. The layers and
            heads asked for.
        encoder: (token, token, layer, head) encoder self-attention, query first, all of it, or
            None.
    """

    rows: Float[Tensor, "target token layer head"]
    encoder: Float[Tensor, "source source encoder_layer encoder_head"] | None


@dataclass(frozen=True, slots=True)
class SiteContributions:
    """Asks for contributions of activations inside the network; answered by `SiteFolded`.

    Attributes:
        sites: module paths, layer numbers or "all", as the user wrote them.
        is_input: take what enters the modules rather than what leaves them.
        alphas: where on the way from the baseline's activation to the input's the gradient is
            taken; 1 is the input.
        weights: one for each alpha.
        factor: ONE, EMBEDS (the activation itself) or DISPLACEMENT (the activation less that of the
            baseline).
        rule: how the gradient is taken.
        at_most: so many alphas at once, or fewer; None: as many as fit.
    """

    sites: tuple[object, ...]
    is_input: bool = False
    alphas: tuple[float, ...] = (1.0,)
    weights: tuple[float, ...] = (1.0,)
    factor: Factor = Factor.EMBEDS
    rule: Rule = Rule.GRADIENT
    at_most: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SiteFolded:
    """Contributions of the activations of every token, at every site.

    Attributes:
        names: module paths of the sites.
        total: (target, token, layer) sum over the hidden axis; "layer" counts the sites.
        magnitude: (target, token, layer) L2 norm over the hidden axis.
        hidden: (target, token, layer, hidden) before reduction, where the task keeps it and the
            sites are of one width.
        difference: (target, layer) what the rows of "total" should sum to: the score less that with
            the baseline's activations in place of the site's, or, under Rule.DIFFERENCE, less that
            of the baseline. 0 where nothing is promised.
    """

    names: tuple[str, ...]
    total: Float[Tensor, "target token layer"]
    magnitude: Float[Tensor, "target token layer"]
    hidden: Float[Tensor, "target token layer hidden"] | None
    difference: Float[Tensor, "target layer"]


@dataclass(frozen=True, slots=True)
class ValueZeroing:
    """Asks how far each block's output moves when one token's value vectors are zero.

    Blocks are run again on their clean inputs, one row for each zeroed token. Answered by
    `ZeroedMaps`.

    Attributes:
        metric: "cosine" (one less the cosine) or "euclidean" distance.
        kinds: which attentions: "encoder" and "decoder" self-attention, and "cross"; those that the
            model does not have are left out.
        encoder: which heads are zeroed in encoder self-attention, in every layer alike or for each
            of some layers; others are untouched.
        decoder: the same for decoder self-attention.
        cross: the same for cross-attention.
    """

    metric: str = "cosine"
    kinds: tuple[str, ...] = ("encoder", "decoder", "cross")
    encoder: Layered = None
    decoder: Layered = None
    cross: Layered = None


@dataclass(frozen=True, slots=True, eq=False)
class ZeroedMaps:
    """Distances of clean and changed block outputs, not normalised.

    Attributes:
        rows: (target, token, layer) at the position where each target is predicted: zeroed encoder
            tokens (through cross-attention) first, then decoder tokens; 0 where not asked for.
        encoder: (source, source, layer) encoder outputs, row by zeroed column, where asked for.
    """

    rows: Float[Tensor, "target token layer"]
    encoder: Float[Tensor, "source source encoder_layer"] | None


@dataclass(frozen=True, slots=True)
class Store:
    """Where neighbours that were found are kept for other processes.

    Attributes:
        folder: path of a folder; made where it is missing.
        save: write what was found.
        fresh: do not read what is there.
    """

    folder: str
    save: bool = True
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Nearest:
    """Asks for the vocabulary entries nearest to each of `ids` by embedding, nearest first.

    Answered by (id, k) vocabulary ids, the ids themselves left out; fewer columns where the
    vocabulary has fewer entries.

    Attributes:
        ids: vocabulary ids.
        k: how many neighbours of each.
        side: whose embeddings.
        plain: leave out special tokens, and entries that the tokenizer does not have.
        store: where neighbours are kept for other processes; None: nowhere.
    """

    ids: tuple[int, ...]
    k: int
    side: Side = "decoder"
    plain: bool = True
    store: Store | None = None


@dataclass(frozen=True, slots=True)
class Peers:
    """Asks for the vocabulary entries of the same kind as each of `ids`.

    Answered by a tuple with one tensor of vocabulary ids for each, special tokens left out.

    Attributes:
        ids: vocabulary ids.
        by: "any": every entry; "pos": those of the same part of speech.
        side: whose vocabulary.
    """

    ids: tuple[int, ...]
    by: Literal["any", "pos"] = "any"
    side: Side = "decoder"


@dataclass(frozen=True, slots=True)
class Embed:
    """Asks for the embeddings of ids, as they enter one side; answered by (id, hidden)."""

    ids: tuple[int, ...]
    side: Side = "decoder"


@runtime_checkable
class ScoreFunction(Protocol):
    """The score as a differentiable function of embeddings, for programs that drive the passes."""

    @property
    def network(self) -> Any:
        """The module that runs, for programs that hang hooks on its parts."""
        ...

    def parts(self) -> tuple[tuple[ScoreFunction, Task], ...]:
        """The functions that add up to this one, each of one pass of the network, and their tasks.

        Itself where one pass serves the task; else one for each member of a span.
        """
        ...

    @property
    def rows(self) -> int:
        """How many rows are run at once; larger batches gain nothing."""
        ...

    def __call__(
        self, rows: Float[Tensor, "row token hidden"], targets: slice
    ) -> Float[Tensor, "row target"]:
        """The scores of some targets; (row, target), differentiable in `rows`.

        Args:
            rows: embeddings of the tokens before the last of these targets; more are not read.
            targets: which of the task's targets.
        """
        ...

    def at_once(
        self, rows: Float[Tensor, "row token hidden"], targets: slice
    ) -> Float[Tensor, "row target"]:
        """The same in one pass whose graph is kept, for programs that hang hooks on it."""
        ...

    def tapped(
        self, layer: object, tap: Callable[[Tensor], Tensor], *, is_input: bool
    ) -> AbstractContextManager[Side]:
        """Inside, `tap(activation)` stands in for the activation of a layer.

        Args:
            layer: a module's path, or the number of a block of the decoder.
            tap: called once for each time the layer runs.
            is_input: tap what enters the layer, not what leaves it.

        Returns:
            whose tokens the layer's are.

        Raises:
            UnknownNameError: there is no such module; offers the nearest.
            InputError: there is no such block, or more than one layer is named.
            UnsupportedError: it is the embeddings, which are given and not computed.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Hands a program the score as a differentiable function of embeddings.

    The door for libraries that want to drive the passes themselves. Answered by what the program
    returns.

    Attributes:
        program: called with the function.
        passes: how many rows it will send through the network, about; for progress and estimates.
        backwards: how many of them it will send vectors back through.
        placeholder: stands for the answer where work is only counted.
    """

    program: Callable[[ScoreFunction], Any]
    passes: int = 1
    backwards: int = 0
    placeholder: Any = None


@dataclass(frozen=True, slots=True)
class Tell:
    """A sentence for the user, for the diagnostics; answered by None."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a method has come whose length depends on its answers; answered by None.

    Attributes:
        share: how much of its work is done, as well as can be told, from 0 to 1.
        ahead: at most so many rows beyond the next step will still be read; for estimates.
    """

    share: float
    ahead: int = 0


Evaluation: TypeAlias = (
    Tell
    | Progress
    | Scores
    | Contributions
    | Attentions
    | SiteContributions
    | ValueZeroing
    | Nearest
    | Peers
    | Embed
    | Run
)

T = TypeVar("T")
Steps: TypeAlias = Generator[Evaluation, Any, T]
