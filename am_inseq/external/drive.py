"""Drives a class of Captum over the targets of a task."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator
from typing import Any, Final

import numpy as np
import torch
from captum import attr
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from am_inseq.core.evaluation import ScoreFunction
from am_inseq.core.task import Task
from am_inseq.errors import InputError, UnsupportedError
from am_inseq.external.layers import hooked, unruled
from am_inseq.external.masks import maskings
from am_inseq.external.names import PREFIX, Asked

_CANNOT: Final = {
    "used in the graph": "the score does not depend on this layer by way of the hidden states",
    "A Module": "it uses one activation module in several places, which Captum's rules cannot tell "
    "apart",
}
_WITHOUT_BASELINES: Final = ("Saliency", "InputXGradient", "LayerGradientXActivation")


def drive(
    function: ScoreFunction, task: Task, asked: Asked
) -> tuple[Float[Tensor, "target token hidden"], tuple[str, ...]]:
    """The attributions of every target to the tokens before it, and sentences for the user.

    Each target is run on its own, on what stands before it, and with the same seed: no score
    depends on later tokens, nor on which other targets are asked for. Classes that hang hooks on
    the network see it run once for a target: of a span that takes several passes, each is run on
    its own, and the attributions, which are linear in the score, are added up.
    """
    if len(function.parts()) > 1 and asked.known.kind in ("hooks", "layer"):
        return _added_up(function, task, asked)
    rows: list[Tensor] = []
    with _calm(), _drawn_apart(task.embeds.device), _methods(function, task, asked) as methods:
        for index in range(len(task.targets)):
            _seed(asked.options.get("seed", 0))
            method, placed = methods(index)
            row = placed(_attributed(method, function, task, index, asked))
            rows.append(pad(row, (0, 0, 0, len(task.ids) - len(row))))
    notes = unruled(function.network) if "DeepLift" in asked.inner else ()
    return torch.stack(rows), notes


def _added_up(
    function: ScoreFunction, task: Task, asked: Asked
) -> tuple[Float[Tensor, "target token hidden"], tuple[str, ...]]:
    """The sum over the passes that a span takes.

    Raises:
        UnsupportedError: what is asked for is not linear in the score.
    """
    if asked.options.get("nt_type", "smoothgrad") != "smoothgrad":
        raise UnsupportedError(
            f"{asked.options['nt_type']} of {PREFIX}{asked.inner} is not the sum over the tokens "
            "of a span, and this model reads each of them from its own prefix; use "
            "nt_type='smoothgrad', or explain single tokens"
        )
    each = [drive(part, alone, asked) for part, alone in function.parts()]
    rows = [pad(row, (0, 0, 0, len(task.ids) - row.shape[1])) for row, _ in each]
    return torch.stack(rows).sum(0), each[0][1]


def _attributed(
    method: Any, function: ScoreFunction, task: Task, index: int, asked: Asked
) -> Float[Tensor, "_ _"]:
    """The attributions of one target, over tokens and hidden coordinates."""
    options = _options(function, task, index, asked)
    if asked.is_tunnel:
        method = attr.NoiseTunnel(method)
        options["nt_samples_batch_size"] = options["nt_samples_batch_size"] or 1
    here = task.embeds[None, : int(task.targets[index])]
    inputs = here.detach().to(_wide(task), copy=True).requires_grad_()
    try:
        return method.attribute(inputs, **options).detach()[0]
    except (AssertionError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"{PREFIX}{asked.inner} of Captum refuses this: {reason}") from error
    except RuntimeError as error:
        reason = next((why for part, why in _CANNOT.items() if part in str(error)), None)
        if reason is None:
            raise
        raise UnsupportedError(
            f"{PREFIX}{asked.inner} cannot run on this network: {reason}"
        ) from error


def _options(function: ScoreFunction, task: Task, index: int, asked: Asked) -> dict[str, Any]:
    """What `attribute` takes besides the input."""
    options = asked.options_of("attribute")
    if asked.known.kind != "masks" and asked.inner not in _WITHOUT_BASELINES:
        base = task.baseline[None, : int(task.targets[index])].to(_wide(task))
        # DeepLiftShap refuses a single baseline; the mean over two equal ones is that over one
        copies = 2 if _class_name(asked).endswith("DeepLiftShap") else 1
        options["baselines"] = base.repeat(copies, 1, 1)
    if not asked.is_tunnel and "internal_batch_size" in options:
        wanted = options["internal_batch_size"] or function.rows
        options["internal_batch_size"] = min(wanted, function.rows)
    return options


def _wide(task: Task) -> torch.dtype:
    """The type that Captum calculates in: at least float32."""
    return torch.promote_types(task.embeds.dtype, torch.float32)


@contextlib.contextmanager
def _methods(
    function: ScoreFunction, task: Task, asked: Asked
) -> Generator[Callable[[int], tuple[Any, Callable[[Tensor], Tensor]]]]:
    """Inside: for the target of an index the class of Captum, and where its answer belongs."""
    kind, taken = asked.known.kind, asked.options_of("constructor")
    made = getattr(attr, _class_name(asked))
    if kind == "masks":
        masked = maskings(function, task, asked)
        yield lambda index: (masked(index), _as_is)
    elif kind == "gradient":
        yield lambda index: (made(_score(function, task, index), **taken), _as_is)
    else:
        with hooked(function, task, asked) as module:
            if kind == "hooks":
                yield lambda index: (made(module.at(index), **taken), _as_is)
            else:
                yield lambda index: (made(module.at(index), module.tap, **taken), module.placed)


def _class_name(asked: Asked) -> str:
    """The class that runs.

    Captum's noise tunnel cannot hand several baselines to DeepLiftShap; with one that is DeepLift.
    """
    is_alike = asked.is_tunnel and asked.inner.endswith("DeepLiftShap")
    return asked.inner.removesuffix("Shap") if is_alike else asked.inner


def _as_is(found: Tensor) -> Tensor:
    return found


def _score(function: ScoreFunction, task: Task, index: int) -> Callable[[Tensor], Tensor]:
    """(row,) the target's score of rows of embeddings; tokens that are not free stay."""
    free, here = task.free[:, None], task.embeds

    def score(rows: Tensor) -> Tensor:
        end = rows.shape[1]
        kept = torch.where(free[:end], rows, here[:end].to(rows.dtype))
        return function(kept, slice(index, index + 1))[:, 0]

    return score


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)


@contextlib.contextmanager
def _drawn_apart(device: torch.device) -> Generator[None]:
    """Inside, draws do not move the caller's generators."""
    before = np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            np.random.set_state(before)


@contextlib.contextmanager
def _calm() -> Generator[None]:
    """Inside, Captum does not warn of what is meant: hooks set and removed, batches of one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="captum")
        yield
