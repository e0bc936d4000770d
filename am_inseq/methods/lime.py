"""LIME on tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from am_inseq.core.asking import scores, tell
from am_inseq.core.attribution import Block
from am_inseq.core.evaluation import Steps
from am_inseq.core.specs import Blocks, method
from am_inseq.core.task import Task
from am_inseq.core.variants import Replaced
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.numerics.designs import streams
from am_inseq.numerics.regression import weighted_ridge


@method(
    "lime",
    source="https://arxiv.org/abs/1602.04938",
    primary="effect",
    cost="n_samples forwards, for all targets together",
    properties=frozenset({"signed"}),
)
def lime(  # noqa: PLR0913 - inseq's options
    task: Task,
    *,
    n_samples: int = 50,
    mask_prob: float = 0.3,
    mask_token: str = "unk",  # noqa: S107 - a word of the vocabulary
    perturbations_per_eval: int = 1,
    interpretable_model: Any = None,
    similarity_func: Any = None,
    perturb_func: Any = None,
    perturb_interpretable_space: bool = False,
    from_interp_rep_transform: Any = None,
    to_interp_rep_transform: Any = None,
    seed: int = 0,
    alpha: float = 0.1,
) -> Steps[Blocks]:
    """The slope of the score in each token, by regression on inputs with some tokens masked.

    Each token is masked by chance; a ridge regression of the score on which tokens stay is fitted
    for each target, over the tokens before it, inputs nearer to the whole one counting more. All
    targets share the same masked inputs. Costs `n_samples` forwards.

    Args:
        task: what to attribute.
        n_samples: masked inputs; fewer than there are tokens leave the slopes open.
        mask_prob: the chance of each token to be masked.
        mask_token: what stands in its place: "unk" (the baseline) or "pad".
        perturbations_per_eval: at most so many inputs in one pass; 1 leaves it to the budget.
        interpretable_model: a Python function of features (sample, token), scores (sample,) and
            weights (sample,) that gives (token,) slopes, or an unfitted linear model in the style
            of scikit-learn, in place of the ridge regression.
        similarity_func: a Python function of the ids, the masked ids and the features, (1, token)
            each and cut before the target, that gives the weight of the sample.
        perturb_func: a Python function of the (1, token) ids that gives one masked input, as ids;
            what it draws is its own business, not the seed's.
        perturb_interpretable_space: `perturb_func` gives features instead, 1 where a token stays.
        from_interp_rep_transform: a Python function of (1, token) features and ids that gives
            masked ids; by default tokens whose feature is 0 are masked.
        to_interp_rep_transform: a Python function of (1, token) masked ids and ids that gives
            (1, token) features; by default 1 where a token stays.
        seed: of the masks.
        alpha: the penalty of the ridge regression; 0 for none.

    Returns:
        "effect": (target, token) what the token adds to the score, in units of the score, 0 at or
        after the target; "standard_error": (target, token) how far it would scatter over seeds,
        not with an `interpretable_model`; "hidden": (target, token, 1) the effects again, where
        kept, since inseq normalises these.

    Raises:
        InputError: an option out of range, or a function that is none or gives another shape.
        UnknownNameError: a mask token by another name.
    """
    _check(n_samples, mask_prob, perturbations_per_eval, alpha)
    own = _Functions(
        perturb_func,
        perturb_interpretable_space,
        from_interp_rep_transform,
        to_interp_rep_transform,
        similarity_func,
        interpretable_model,
    )
    fill = _fill(task, mask_token)
    drawn = streams(seed, len(task.ids)).uniforms(n_samples).to(task.ids.device)
    ids, features = _samples(task, own, fill, drawn >= mask_prob)
    stays = ids == task.ids
    used = task.reachable & ~(stays.all(0) & (features == features[:1]).all(0))
    tokens = int(used.sum(-1).max())
    if n_samples <= tokens:
        yield from tell(
            f"lime drew {n_samples} samples for {tokens} tokens, too few to tell these apart; "
            f"raise n_samples well above {tokens}"
        )
    at_most = None if perturbations_per_eval == 1 else perturbations_per_eval
    end = int(task.targets[-1])
    variants = tuple(
        _replaced(row, kept) for row, kept in zip(ids[:, :end], stays[:, :end], strict=True)
    )
    answer = yield from scores(variants, at_most=at_most)  # (sample, target)
    values = answer.T.double()
    weights = _weights(task, own, ids, features, used)
    blocks: Blocks = {}
    if own.model is not None:
        slopes = _fitted(own, features, values, weights, used).to(answer)
    else:
        fit = weighted_ridge(features, values, weights, used, alpha)
        slopes, error = fit.coefficients.to(answer), fit.standard_error.to(answer)
        blocks["standard_error"] = Block(error, ("target", "token"))
    blocks["effect"] = Block(slopes, ("target", "token"))
    if task.keep_hidden:
        blocks["hidden"] = Block(slopes[..., None], ("target", "token", "hidden"))
    return blocks


@dataclass(frozen=True, slots=True)
class _Functions:
    """What the caller does in his own way; see the options of the same names.

    Raises:
        InputError: not functions, or two that exclude each other.
    """

    perturb: Any
    is_in_features: bool
    to_ids: Any
    to_features: Any
    similarity: Any
    model: Any

    def __post_init__(self) -> None:
        for name, function in (
            ("perturb_func", self.perturb),
            ("from_interp_rep_transform", self.to_ids),
            ("to_interp_rep_transform", self.to_features),
            ("similarity_func", self.similarity),
            ("interpretable_model", self.model),
        ):
            is_linear = name == "interpretable_model" and hasattr(function, "fit")
            if function is not None and not is_linear and not callable(function):
                raise InputError(
                    f"option {name!r} of method 'lime' takes a Python function, not "
                    f"{type(function).__name__}; call from Python, or leave it out"
                )
        if hasattr(self.model, "representation"):
            raise InputError(
                "interpretable_model takes no Captum model: it would want a data loader; give a "
                "function of features, scores and weights, or a scikit-learn linear model"
            )
        if self.to_ids is not None and not self.is_in_features:
            raise InputError(
                "from_interp_rep_transform needs perturb_interpretable_space=True; else give "
                "to_interp_rep_transform"
            )
        if self.to_features is not None and self.is_in_features:
            raise InputError(
                "to_interp_rep_transform needs perturb_interpretable_space=False; else give "
                "from_interp_rep_transform"
            )


def _check(n_samples: int, mask_prob: float, at_most: int, alpha: float) -> None:
    if n_samples < 2:
        raise InputError(f"n_samples must be at least 2, not {n_samples}")
    if not 0 < mask_prob < 1:
        raise InputError(f"mask_prob must lie between 0 and 1, not {mask_prob}")
    if at_most < 1:
        raise InputError(f"perturbations_per_eval must be at least 1, not {at_most}")
    if alpha < 0:
        raise InputError(f"alpha must be 0 or above, not {alpha}")


def _fill(task: Task, mask_token: str) -> Int[Tensor, " token"]:
    """The ids that masked tokens are replaced by; those that the baseline keeps are kept."""
    if mask_token == "unk":  # noqa: S105 - a word of the vocabulary
        return task.baseline_ids
    if mask_token != "pad":  # noqa: S105
        raise UnknownNameError("mask token", mask_token, ("unk", "pad"))
    if task.pad_id is None:
        raise InputError("this model knows no padding token; use mask_token='unk'")
    return torch.where(task.baseline_ids == task.ids, task.ids, task.pad_id)


def _samples(
    task: Task,
    own: _Functions,
    fill: Int[Tensor, " token"],
    kept: Bool[Tensor, "sample token"],
) -> tuple[Int[Tensor, "sample token"], Float[Tensor, "sample token"]]:
    """Masked ids and their features."""
    ids, features = task.ids[None], (kept | (fill == task.ids)).double()
    rows: list[Tensor] = []
    columns: list[Tensor] = []
    for mask in features:
        row, column = torch.where(mask > 0, task.ids, fill), mask
        if own.is_in_features:
            if own.perturb is not None:
                column = _row("perturb_func", own.perturb(ids), task)
                row = torch.where(column > 0, task.ids, fill)
            if own.to_ids is not None:
                row = _row("from_interp_rep_transform", own.to_ids(column[None], ids), task)
        elif own.perturb is not None:
            row = _row("perturb_func", own.perturb(ids), task)
        row = torch.where(task.free, row.long(), task.ids)
        if own.to_features is not None:
            column = _row("to_interp_rep_transform", own.to_features(row[None], ids), task)
        elif not own.is_in_features:
            column = (row == task.ids).double()
        rows.append(row)
        columns.append(column.double())
    return torch.stack(rows), torch.stack(columns)


def _row(name: str, given: Any, task: Task) -> Tensor:
    row = torch.as_tensor(given, device=task.ids.device)
    if row.shape not in (task.ids.shape, task.ids[None].shape):
        raise InputError(
            f"{name} gave a result of shape {tuple(row.shape)}; it must be (1, {len(task.ids)}), "
            "one value a token"
        )
    return row.reshape(-1)


def _replaced(row: Int[Tensor, " token"], kept: Bool[Tensor, " token"]) -> Replaced:
    places = (~kept).nonzero()[:, 0]
    return Replaced(tuple(places.tolist()), tuple(row[places].tolist()))


def _weights(
    task: Task,
    own: _Functions,
    ids: Int[Tensor, "sample token"],
    features: Float[Tensor, "sample token"],
    used: Bool[Tensor, "target token"],
) -> Float[Tensor, "target sample"]:
    """How near each sample is to the whole input, as far as each target reads it.

    By default `exp(-d^2 / 2)`, with d the cosine distance between the mask and a mask of ones.
    """
    if own.similarity is None:
        many = used.double()
        share = (many @ (ids == task.ids).double().T) / many.sum(-1, keepdim=True).clamp_min(1)
        return torch.exp(-((1 - share.sqrt()) ** 2) / 2)
    weights = torch.zeros(len(used), len(ids), dtype=torch.float64, device=ids.device)
    for target, end in enumerate(task.targets.tolist()):
        here = task.ids[None, :end]
        for sample, (row, column) in enumerate(zip(ids, features, strict=True)):
            weights[target, sample] = float(
                own.similarity(here, row[None, :end], column[None, :end])
            )
    if bool((weights < 0).any()) or not bool((weights.sum(-1) > 0).all()):
        raise InputError("similarity_func must give weights of 0 or above, and not only 0")
    return weights


def _fitted(
    own: _Functions,
    features: Float[Tensor, "sample token"],
    values: Float[Tensor, "target sample"],
    weights: Float[Tensor, "target sample"],
    used: Bool[Tensor, "target token"],
) -> Float[Tensor, "target token"]:
    """Slopes by the caller's own model, one fit a target."""
    slopes = torch.zeros(used.shape, dtype=torch.float64)
    for target, columns in enumerate(used.cpu()):
        if not bool(columns.any()):
            continue
        x, y, w = features[:, columns].cpu(), values[target].cpu(), weights[target].cpu()
        if hasattr(own.model, "fit"):
            fitted: Any = own.model
            fitted.fit(x.numpy(), y.numpy(), sample_weight=w.numpy())
            found = torch.as_tensor(fitted.coef_)
        else:
            assert own.model is not None  # noqa: S101 - its only caller
            found = torch.as_tensor(own.model(x, y, w))
        if found.numel() != x.shape[1]:
            raise InputError(
                f"interpretable_model gave {found.numel()} slopes for {x.shape[1]} tokens; it must "
                "give one a token"
            )
        slopes[target, columns] = found.reshape(-1).double()
    return slopes.to(features.device)
