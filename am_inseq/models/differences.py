"""Two passes of one network, compared operation by operation; the rules are in `models.rules`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from functools import partial
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from am_inseq.errors import UnsupportedError
from am_inseq.models.activations import ELEMENTWISE
from am_inseq.models.composed import COMPOSED, QUOTIENTS
from am_inseq.models.experts import experts_in_order
from am_inseq.models.rules import (
    PRODUCTS,
    RULES,
    TOPK,
    Call,
    Function,
    Rule,
    chosen,
    picked,
    stand,
)

_ACTIVATION: Final = "gelu"  # the rule of activations that are modules
_SUM: Final = "add"
_ALIASES: Final = {"axis": "dim", "keepdims": "keepdim"}  # torch takes NumPy's names too
_KNOWN: Final = frozenset((*RULES, *COMPOSED, TOPK))
_FAMILIES_OWN: Final = ("BloomGelu",)  # activations that families define for themselves
# functions of autograd that families define for themselves, by what they compute
_FUNCTIONS_OWN: Final[dict[str, Any]] = {"SqrtBoundDerivative": SimpleNamespace(apply=torch.sqrt)}
_OTHER_STEPS: Final = (
    "this model takes other steps for the baseline than for the input (other experts, for "
    "example), so there is nothing to compare; use integrated_gradients"
)


class Differences(TorchFunctionMode):
    """Sees operations run, keeps what they read in one pass, and meets it in the next."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[str, tuple[Tensor, ...]]] = []
        self._next: int | None = None  # which of them comes next; None while keeping
        self._is_paused = True

    @contextlib.contextmanager
    def recording(self) -> Generator[None]:
        """Inside, the baseline is read."""
        self._kept, self._next = [], None
        with self._running(), torch.no_grad():
            yield

    @contextlib.contextmanager
    def meeting(self) -> Generator[None]:
        """Inside, the input is read, by the same steps, with a graph.

        Raises:
            UnsupportedError: the steps are others.
        """
        self._next = 0
        with self._running(), torch.enable_grad():
            yield
        if self._next != len(self._kept):
            raise UnsupportedError(_OTHER_STEPS)

    @contextlib.contextmanager
    def _running(self) -> Generator[None]:
        self._is_paused = False
        try:
            with self:
                yield
        finally:
            self._is_paused = True

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs an operation, by its rule where it has one."""
        del types
        options = dict(kwargs or {})
        name: str = getattr(func, "__name__", "")
        is_in_place = name.endswith("_") and not name.endswith("__")
        name = name.removesuffix("_") if is_in_place else name
        if name == _SUM and is_in_place and not self._is_paused:
            return self._sum(func, args, options)
        if self._is_paused or name not in _KNOWN:
            return func(*args, **options)
        if "input" in options:
            args = (options.pop("input"), *args)
        if not is_in_place:
            return self._run(name, func, args, options)
        if self._next is None:  # what is kept must not change with it
            self._run(name, getattr(torch.Tensor, name), (args[0].clone(), *args[1:]), options)
            return func(*args, **options)
        return args[0].copy_(self._run(name, getattr(torch.Tensor, name), args, options))

    def _sum(self, func: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A sum in place, as of a bias: linear, but for what was chosen by what moves.

        Other sums are not met: no family adds what it chose by them.
        """
        tensors = tuple(x for x in args if isinstance(x, Tensor) and x.is_floating_point())
        if len(tensors) != 2:
            return func(*args, **options)
        if self._next is None:  # what is kept must not change with it
            self._kept.append((_SUM, (tensors[0].clone(), tensors[1])))
            return func(*args, **options)
        call = self._meet(_SUM, torch.add, tensors, args, options)
        carrier = chosen(call) if torch.is_grad_enabled() else None
        if carrier is None:
            return func(*args, **options)
        value = torch.add(*(x.detach() for x in tensors), **options)
        return args[0].copy_(stand(carrier, lambda: value))

    def _run(self, name: str, func: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if name not in COMPOSED:
            return self._ruled(name, func, args, options)
        is_scaling = name in QUOTIENTS and not isinstance(args[1], Tensor)
        if is_scaling or options.get("rounding_mode") is not None:
            return func(*args, **options)
        with self:
            carrier = COMPOSED[name](*args, **options)
        if not carrier.requires_grad:
            return func(*args, **options)
        return stand(carrier, lambda: func(*args, **options))

    def activation(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """An activation of several operations, taken as one elementwise function."""
        if self._is_paused:
            return function(x)
        self._is_paused = True
        try:
            return self._ruled(_ACTIVATION, function, (x,), {})
        finally:
            self._is_paused = False

    def _ruled(self, name: str, func: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        function, tensors = _bound(func, args, options)
        if not tensors or (name in PRODUCTS and len(tensors) == 1):
            return func(*args, **options)
        if self._next is None:
            self._kept.append((name, tensors))
            return func(*args, **options)
        call = self._meet(name, function, tensors, args, options)
        is_linear = name in PRODUCTS and len(call.moved) <= 1
        if is_linear or not call.live or not torch.is_grad_enabled():
            return func(*args, **options)
        if [x.shape for x in call.tensors] != [x.shape for x in call.partners]:
            raise UnsupportedError(_OTHER_STEPS)
        return picked(call) if name == TOPK else _met(RULES[name], call)

    def _meet(
        self,
        name: str,
        function: Function,
        tensors: tuple[Tensor, ...],
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Call:
        """The operation and what it read in the baseline's pass.

        Raises:
            UnsupportedError: another operation stood there.
        """
        at = self._next or 0
        if at >= len(self._kept) or self._kept[at][0] != name:
            raise UnsupportedError(_OTHER_STEPS)
        self._next = at + 1
        named = {_ALIASES.get(key, key): value for key, value in options.items()}
        return Call(name, function, tensors, self._kept[at][1], args, named)


def _met(rule: Rule, call: Call) -> Any:
    """The operation's own value, with the graph that its rule gives."""
    value: Any = call.function(*(tensor.detach() for tensor in call.tensors))
    if not isinstance(value, Tensor):  # values and their places
        is_extreme = call.name in ("max", "min") and len(call.tensors) == 1
        return picked(call) if is_extreme else call.function(*call.tensors)
    return stand(rule(call).to(value.dtype), lambda: value)


def _bound(
    func: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Function, tuple[Tensor, ...]]:
    """The operation as a function of its tensors, and these; it is not wished for in place."""
    flat: list[Any] = []
    lengths: list[int | None] = []  # of arguments that are lists of tensors
    for argument in args:
        is_list = isinstance(argument, list | tuple) and any(torch.is_tensor(x) for x in argument)
        flat.extend(argument if is_list else [argument])
        lengths.append(len(argument) if is_list else None)
    flat.extend(options.values())
    places = [index for index, value in enumerate(flat) if isinstance(value, Tensor)]

    def function(*given: Tensor) -> Any:  # two tensors, where it is topk
        filled = list(flat)
        for index, tensor in zip(places, given, strict=True):
            filled[index] = tensor
        values = iter(filled)
        positional = [
            next(values) if length is None else [next(values) for _ in range(length)]
            for length in lengths
        ]
        keywords = dict(zip(options, values, strict=True))
        if "inplace" in keywords:
            keywords["inplace"] = False
        return func(*positional, **keywords)

    return function, tuple(flat[index] for index in places)


def _seen(module: nn.Module) -> Callable[..., Any] | None:
    """The module's forward with operations in place of the family's own functions of autograd.

    These pass vectors on by a derivative of their own, out of sight of the rules; the module's file
    is left alone. None where it has none.
    """
    forward: Any = type(module).forward
    names = _FUNCTIONS_OWN.keys() & set(getattr(getattr(forward, "__code__", None), "co_names", ()))
    if not names:
        return None
    known = {**forward.__globals__, **{name: _FUNCTIONS_OWN[name] for name in names}}
    made = FunctionType(
        forward.__code__, known, forward.__name__, forward.__defaults__, forward.__closure__
    )
    return MethodType(made, module)


@contextlib.contextmanager
def differences(network: Any) -> Generator[Differences]:
    """Inside, two passes of the network may be compared."""
    rules = Differences()
    changed: list[nn.Module] = []
    for module in network.modules():
        is_one = isinstance(module, ELEMENTWISE) or type(module).__name__ in _FAMILIES_OWN
        if "forward" in vars(module):
            continue
        forward = partial(rules.activation, module.forward) if is_one else _seen(module)
        if forward is not None:
            module.forward = forward
            changed.append(module)
    try:
        with experts_in_order(network):
            yield rules
    finally:
        for module in changed:
            del module.forward
