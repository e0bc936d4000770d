"""Places inside a network: found by what the user wrote, and tapped while the network runs."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, cast

from torch import Tensor, nn

from am_inseq.core.model import Site
from am_inseq.errors import InputError, MissingSiteError, UnknownNameError
from am_inseq.models.scales import embedding_module

EVERY_BLOCK: Final = "all"
_INDEX = re.compile(r"\[(-?\d+)\]")
_NUMBER = re.compile(r"-?\d+")


def resolve(network: Any, written: Sequence[object]) -> tuple[Site, ...]:
    """The places that the user wrote.

    Args:
        network: the transformers model.
        written: for each place None (the embeddings; an encoder-decoder's encoder's), a module's
            path, "all" (every block of the decoder), a number of such a block, a module of the
            network, or a list of these.

    Raises:
        UnknownNameError: no module has that path; offers the nearest.
        InputError: it is none of these, there is no such block, or a place is named twice.
    """
    names = {id(m): n for n, m in network.named_modules()}
    paths = dict(network.named_modules(remove_duplicate=False))
    sites: list[Site] = []
    for one in _flat(written):
        for module in _modules(network, paths, one):
            if id(module) not in names:
                raise InputError(f"target_layer: {type(module).__name__} is not part of this model")
            sites.append(_site(network, module, names[id(module)], one))
    twice = [site.name for index, site in enumerate(sites) if site in sites[:index]]
    if twice:
        raise InputError(f"target_layer names {twice[0]!r} twice")
    return tuple(sites)


def decoder_blocks(network: Any) -> list[nn.Module]:
    """The blocks of the decoder: the longest of the lists of modules that lie in no other."""
    decoder = network.get_decoder() if network.config.is_encoder_decoder else network
    lists = {name: m for name, m in decoder.named_modules() if isinstance(m, nn.ModuleList)}
    outer = [m for name, m in lists.items() if not any(name.startswith(f"{o}.") for o in lists)]
    return list(max(outer, key=len)) if outer else []


def _flat(written: object) -> list[object]:
    if isinstance(written, list | tuple):
        some = cast("Sequence[object]", written)
        return [one for part in some for one in _flat(part)]
    return [written]


def _modules(network: Any, paths: Mapping[str, nn.Module], one: object) -> list[nn.Module]:
    if one is None:
        return [embedding_module(network, "encoder")]
    if isinstance(one, nn.Module):
        return [one]
    if isinstance(one, int) and not isinstance(one, bool):
        return [_block(network, one)]
    if isinstance(one, str):
        return _named(network, paths, one)
    raise InputError(
        "target_layer takes a module's path, the number of a block, 'all', or a list of these; "
        f"not {one!r}"
    )


def _named(network: Any, paths: Mapping[str, nn.Module], one: str) -> list[nn.Module]:
    if one == EVERY_BLOCK:
        return decoder_blocks(network)
    if _NUMBER.fullmatch(one):
        return [_block(network, int(one))]
    path = _INDEX.sub(r".\1", one)
    if not path or path not in paths:
        raise UnknownNameError("module of this model", one, _near(path, paths))
    return [paths[path]]


def _block(network: Any, number: int) -> nn.Module:
    blocks = decoder_blocks(network)
    if not -len(blocks) <= number < len(blocks):
        raise InputError(
            f"target_layer: there is no block {number}; the decoder has {len(blocks)}, from 0 to "
            f"{len(blocks) - 1}"
        )
    return blocks[number]


def _near(path: str, paths: Mapping[str, nn.Module]) -> list[str]:
    """What the user may have meant; the outermost modules where nothing is near."""
    near = difflib.get_close_matches(path, paths, n=1, cutoff=0.6)
    return near or [name for name in paths if name and name.count(".") < 2]


def _site(network: Any, module: nn.Module, name: str, written: object) -> Site:
    """A module as a place; embedding modules are never run, for embeddings are what is given."""
    if not network.config.is_encoder_decoder:
        return Site(name, "decoder", module is embedding_module(network, "decoder"))
    encoder = network.get_encoder()
    of_encoder = module is embedding_module(network, "encoder")
    if of_encoder or module is embedding_module(network, "decoder"):
        is_decoders = not of_encoder or (isinstance(written, str) and "decoder" in written)
        return Site(name, "decoder" if is_decoders else "encoder", is_embedding=True)
    inside = any(module is m for m in encoder.modules())
    return Site(name, "encoder" if inside else "decoder", is_embedding=False)


@contextlib.contextmanager
def tapped(
    network: nn.Module,
    sites: Sequence[Site],
    tap: Callable[[int, Tensor], Tensor],
    *,
    is_input: bool,
) -> Generator[None]:
    """Inside, `tap(index, activation)` says what stands in for the activation of each site.

    Args:
        network: the transformers model.
        sites: which modules; embeddings are passed over.
        tap: called whenever one of them runs.
        is_input: tap what enters the modules, not what leaves them.
    """
    handles: list[Any] = []
    for index, site in enumerate(sites):
        if site.is_embedding:
            continue
        module = network.get_submodule(site.name)
        if is_input:
            hook = _input_hook(site, index, tap)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(_output_hook(site, index, tap)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _input_hook(site: Site, index: int, tap: Callable[[int, Tensor], Tensor]) -> Any:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for place, value in enumerate(args):
            if _is_activation(value):
                return (*args[:place], tap(index, value), *args[place + 1 :]), kwargs
        for key, value in kwargs.items():
            if _is_activation(value):
                return args, {**kwargs, key: tap(index, value)}
        raise MissingSiteError(f"module {site.name!r} reads no activations")

    return hook


def _output_hook(site: Site, index: int, tap: Callable[[int, Tensor], Tensor]) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return tap(index, output)
        if isinstance(output, tuple | list):
            for place, value in enumerate(cast("Sequence[Any]", output)):
                if _is_activation(value):
                    return (*output[:place], tap(index, value), *output[place + 1 :])
        if isinstance(output, dict):  # transformers' outputs are dictionaries
            for key, value in cast("dict[str, Any]", output).items():
                if _is_activation(value):
                    output[key] = tap(index, value)
                    return output
        raise MissingSiteError(f"module {site.name!r} gives no activations")

    return hook


def _is_activation(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
