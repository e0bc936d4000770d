"""Captum's classes as methods; Captum itself is imported when one of them runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from torch import Tensor

from am_inseq.core.asking import run, scores, tell
from am_inseq.core.attribution import AxisName, Block
from am_inseq.core.evaluation import Run, ScoreFunction, Steps
from am_inseq.core.specs import Blocks, MethodSpec, Unit
from am_inseq.core.task import Task
from am_inseq.core.variants import BASELINE, INPUT
from am_inseq.errors import InputError, UnknownNameError, UnsupportedError
from am_inseq.external.names import KNOWN, PREFIX, REFUSED, TUNNEL, Asked, Setting, settings_of

MOST_TOKENS: Final = 10  # Captum goes through all orders of the tokens: 10! are 3.6 million
_AXES: Final[tuple[AxisName, ...]] = ("target", "token")
_ROWS: Final = {"DeepLift": 2, "DeepLiftShap": 4, "LayerDeepLift": 2, "LayerDeepLiftShap": 4}


def captum_method(name: str) -> MethodSpec:
    """The method called `captum:<ClassName>` or `captum:NoiseTunnel(<ClassName>)`.

    Raises:
        UnknownNameError: Captum has no such method; offers the nearest.
        UnsupportedError: Captum has it, but it cannot run here; says why.
        InputError: a noise tunnel without a method inside.
    """
    wanted = name.removeprefix(PREFIX).strip()
    inside = re.fullmatch(rf"{TUNNEL}\((.*)\)", wanted)
    inner = inside[1].strip() if inside else wanted
    if inner in ("", TUNNEL):
        raise InputError(
            f"{PREFIX}{TUNNEL} needs a method inside, for example "
            f"{PREFIX}{TUNNEL}(IntegratedGradients)"
        )
    if inner in REFUSED:
        raise UnsupportedError(f"{PREFIX}{inner} does not run here: {REFUSED[inner]}")
    if inner not in KNOWN:
        raise UnknownNameError("method of Captum", inner, (*KNOWN, *REFUSED, TUNNEL))
    return _declared(inner, is_tunnel=inside is not None)


def _declared(inner: str, *, is_tunnel: bool) -> MethodSpec:
    known, settings = KNOWN[inner], settings_of(inner, is_tunnel=is_tunnel)
    cost = f"{known.cost}, for each of nt_samples inputs" if is_tunnel else known.cost
    is_norm = _primary(inner) == "magnitude"

    def steps(task: Task, **options: Any) -> Steps[Blocks]:
        checked = _checked(inner, settings, options)
        return (yield from _attribute(task, Asked(inner, checked, is_tunnel)))

    declared: Any = steps
    declared.__signature__ = _signature(settings)
    declared.__doc__ = _documented(inner, settings, cost, is_tunnel=is_tunnel)
    return MethodSpec(
        name=f"{PREFIX}{TUNNEL}({inner})" if is_tunnel else f"{PREFIX}{inner}",
        run=steps,
        source=known.source,
        primary=_primary(inner),
        is_signed=not is_norm,
        is_complete=known.is_complete and not is_tunnel,
        needs_gradients=known.kind != "masks",
        cost=cost,
        unit=Unit.GRADIENT if inner == "Saliency" else None,
    )


def _primary(inner: str) -> Literal["total", "magnitude", "effect"]:
    if KNOWN[inner].kind == "masks":
        return "effect"
    return "magnitude" if inner in ("Saliency", "InputXGradient") else "total"  # as ours


def _signature(settings: Mapping[str, Setting]) -> inspect.Signature:
    """What `read_options` reads the options off."""
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=type(setting.default).__name__,
        )
        for name, setting in settings.items()
    ]
    task = inspect.Parameter("task", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([task, *options])


def _documented(inner: str, settings: Mapping[str, Setting], cost: str, *, is_tunnel: bool) -> str:
    noisy = f", inside its {TUNNEL}" if is_tunnel else ""
    described = [f"    {name}: {setting.text}" for name, setting in settings.items()]
    scores = '"effect": (target, token)'
    if KNOWN[inner].kind != "masks":
        scores = '"total" and "magnitude": (target, token) sum and L2 norm over the hidden axis'
    return "\n".join(
        [
            f"{inner} of Captum{noisy}.",
            f"\nCosts {cost}.",
            "\nArgs:\n    task: what to attribute.",
            *described,
            f"\nReturns:\n    {scores}, in units of the score.",
        ]
    )


def _checked(
    inner: str, settings: Mapping[str, Setting], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options with their values checked, whole numbers as floats where those are meant."""
    checked = dict(options)
    for name, setting in settings.items():
        value = checked[name]
        if isinstance(setting.default, float):
            checked[name] = float(value)
            if not checked[name] >= 0:
                raise InputError(f"option {name!r} of {PREFIX}{inner} may not be negative")
        if setting.among and value not in setting.among:
            raise UnknownNameError(f"{name} of {PREFIX}{inner}", value, setting.among)
        if setting.least is None or (value is None and setting.default is None):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < setting.least:
            raise InputError(
                f"option {name!r} of {PREFIX}{inner} takes a whole number of at least "
                f"{setting.least}, not {value!r}"
            )
    if "layer" in settings and not isinstance(checked["layer"], str | int):
        raise InputError(
            f"{PREFIX}{inner} needs the option 'layer': a module's path in the network, or the "
            "number of a block of the decoder"
        )
    return checked


def _attribute(task: Task, asked: Asked) -> Steps[Blocks]:
    """Runs the class for every target, on the tokens before it."""
    known = asked.known
    if asked.inner == "ShapleyValues":
        _check_few(task)
    ends: Tensor | None = None
    is_whole = known.is_complete and asked.options.get("multiply_by_inputs", True)
    if is_whole and not asked.is_tunnel:
        ends = yield from scores((INPUT, BASELINE))  # (2, target)

    def program(function: ScoreFunction) -> tuple[Tensor, tuple[str, ...]]:
        from am_inseq.external.drive import drive

        return drive(function, task, asked)

    passes = _passes(task, asked)
    width = 1 if known.kind == "masks" else task.embeds.shape[-1]
    nothing = task.embeds.new_zeros(()).expand(len(task.targets), len(task.ids), width)
    hidden, notes = yield from run(
        Run(program, passes, 0 if known.kind == "masks" else passes, (nothing, ()))
    )
    for sentence in notes:
        yield from tell(sentence)
    return _blocks(task, asked, hidden, ends)


def _blocks(task: Task, asked: Asked, hidden: Tensor, ends: Tensor | None) -> Blocks:
    """Tables from (target, token, hidden) attributions; hidden is 1 where tokens were masked."""
    hidden = hidden.masked_fill(~task.reachable[..., None], 0.0)
    total = hidden.sum(-1)
    if asked.known.kind == "masks":
        blocks = {"effect": Block(total, _AXES)}
    else:
        blocks = {"total": Block(total, _AXES), "magnitude": Block(hidden.norm(dim=-1), _AXES)}
        if task.keep_hidden:
            blocks["hidden"] = Block(hidden, (*_AXES, "hidden"))
    if ends is not None:
        blocks["residual"] = Block(ends[0] - ends[1] - total.sum(-1), ("target",))
    return blocks


def _check_few(task: Task) -> None:
    moving = (task.reachable & (task.ids != task.baseline_ids)).sum(-1)
    most = int(moving.max())
    if most > MOST_TOKENS:
        raise InputError(
            f"{PREFIX}ShapleyValues goes through every order of the tokens and takes at most "
            f"{MOST_TOKENS}, but a target has {most} before it; use {PREFIX}ShapleyValueSampling"
        )


def _passes(task: Task, asked: Asked) -> int:
    """How many rows will be run, about."""
    inner, options = asked.inner, asked.options
    tokens = int((task.free & (task.ids != task.baseline_ids)).sum())
    each = options.get("n_steps", options.get("n_samples", _ROWS.get(inner, 1)))
    each *= options.get("nt_samples", 1)
    if inner in ("FeatureAblation", "Occlusion"):
        return each * (tokens + 1)
    if inner == "ShapleyValues":
        return each * 2 ** min(tokens, MOST_TOKENS)
    if inner == "ShapleyValueSampling":
        each *= max(1, tokens)
    return int(each * len(task.targets))
