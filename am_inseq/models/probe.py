"""What a model can do, seen on a few tokens rather than looked up by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor

from am_inseq.core.model import Capabilities, Inputs, Model
from am_inseq.numerics.devices import is_out_of_memory

_Look: TypeAlias = Callable[[Model, Inputs, torch.dtype], bool]

_LENGTH: Final = 6  # tokens that the probe reads
_HALF: Final = _LENGTH // 2
REFUSALS: Final = (  # what a network raises where it cannot do what the probe asks
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    AssertionError,
)


def probe(
    model: Model,
    ids: Tensor,
    *,
    precision: torch.dtype,
    embeds: bool,
    offsets: bool,
    kernels_alike: bool,
) -> Capabilities:
    """What `model` can do.

    Args:
        model: the model.
        ids: (token,) ordinary ids, at least six.
        precision: the number type whose rounding its results have.
        embeds: whether embeddings alone were seen to give what ids give.
        offsets: whether the tokenizer says where its tokens stand.
        kernels_alike: whether attention was seen to give the same by either kernel.
    """
    row = _row(model, ids)
    causal = _is_causal(model, row, precision)

    def tried(look: _Look) -> bool:
        return _tried(look, model, row, precision)

    independent = tried(_rows_are_independent)
    with torch.enable_grad(), model.batched_backward():
        batched = tried(_is_batched)
        chains = embeds and causal and batched and tried(_chain_is_exact)
    return Capabilities(embeds, causal, independent, batched, chains, offsets, kernels_alike)


def _row(model: Model, ids: Tensor) -> Inputs:
    """The few tokens as one row of embeddings, their ids beside them."""
    some = ids[:_LENGTH]
    if not model.has_encoder:
        return Inputs(model.embed(some, "decoder")[None], None, some[None])
    decoder, encoder = model.embed(some, "decoder"), model.embed(some, "encoder")
    return Inputs(decoder[None], encoder[None], some[None], some[None])


def _at(row: Inputs, *positions: int) -> Tensor:
    return torch.tensor(positions, device=row.decoder.device)


@torch.no_grad()
def _is_causal(model: Model, row: Inputs, dtype: torch.dtype) -> bool:
    """Whether what comes out in the middle is what comes out when the sequence ends there."""
    whole = model.forward(row, _at(row, _HALF - 1)).logits
    ids = None if row.decoder_ids is None else row.decoder_ids[:, :_HALF]
    cut = Inputs(row.decoder[:, :_HALF], row.encoder, ids, row.encoder_ids)
    return close(model.forward(cut, _at(row, _HALF - 1)).logits, whole, dtype)


@torch.no_grad()
def _rows_are_independent(model: Model, row: Inputs, dtype: torch.dtype) -> bool:
    """Whether a row gives beside others what it gives alone; some families read one row only."""
    alone = model.forward(row, _at(row, _LENGTH - 1)).logits
    decoder = torch.cat([row.decoder, row.decoder.flip(1)])
    encoder = None if row.encoder is None else row.encoder.repeat(2, 1, 1)
    many = Inputs(decoder, encoder, row.decoder_ids, row.encoder_ids)
    return close(model.forward(many, _at(row, _LENGTH - 1)).logits[:1], alone, dtype)


def _tried(look: _Look, model: Model, row: Inputs, dtype: torch.dtype) -> bool:
    try:
        return look(model, row, dtype)
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        return False


def _is_batched(model: Model, row: Inputs, dtype: torch.dtype) -> bool:
    """Whether vectors that go back together give what they give one by one."""
    leaf = row.decoder.clone().requires_grad_()
    given = Inputs(leaf, row.encoder, row.decoder_ids, row.encoder_ids)
    hidden = model.forward(given, _at(row, _HALF, _LENGTH - 1)).hidden
    vectors = hidden.new_zeros(2, *hidden.shape)
    vectors[0, :, 0] = vectors[1, :, 1] = _direction(hidden)
    together = torch.autograd.grad(hidden, leaf, vectors, retain_graph=True, is_grads_batched=True)[
        0
    ]
    apart = [torch.autograd.grad(hidden, leaf, v, retain_graph=True)[0] for v in vectors]
    return close(together, torch.stack(apart), dtype)


def _chain_is_exact(model: Model, row: Inputs, dtype: torch.dtype) -> bool:
    """Whether the tokens in two pieces give the logits and gradients that they give at once.

    Recurrent and hybrid families carry state elsewhere and fail.
    """
    whole = row.decoder.clone().requires_grad_()
    last = _at(row, _LENGTH - 1)
    read = model.forward(Inputs(whole, row.encoder), last)
    pieces, _, _ = model.chain(
        Inputs(row.decoder, row.encoder), (_HALF, _LENGTH), (last[:0], last - _HALF)
    )
    tail = pieces[1].read
    vector = _direction(read.hidden).expand_as(read.hidden)
    expected = torch.autograd.grad(read.hidden, whole, vector)[0]
    here, *left = torch.autograd.grad(tail.hidden, [pieces[1].leaf, *pieces[1].past], vector)
    before = torch.autograd.grad(pieces[0].new, pieces[0].leaf, left)[0]
    found = torch.cat([before, here], dim=1)
    same = close(tail.logits.detach(), read.logits.detach(), dtype)
    return same and close(found, expected, dtype)


def _direction(hidden: Tensor) -> Tensor:
    """(hidden,) a vector that no norm in front of the head makes vanish."""
    places = torch.arange(hidden.shape[-1], device=hidden.device)
    return (1.0 + places).cos().to(hidden.dtype)


def close(one: Tensor, other: Tensor, dtype: torch.dtype) -> bool:
    """Whether two answers of a model of `dtype` differ by no more than rounding."""
    if one.shape != other.shape or not bool(torch.isfinite(one).all()):
        return False
    allowed = 0.1 if torch.finfo(dtype).eps > 1e-4 else 1e-3
    return float((one - other).abs().max()) <= allowed * float(other.abs().max())
