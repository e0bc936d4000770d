"""Neighbours of vocabulary entries by embedding: found when asked for, and kept.

A graph of the whole vocabulary is never made: a text needs the neighbours of some hundred entries,
a vocabulary has a hundred thousand.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from am_inseq.core.evaluation import Store
from am_inseq.core.tokens import Side
from am_inseq.models.scales import embedding_module

_ASKED: Final = 32  # entries looked up at once
_DISTANCES: Final = 2**24  # distances held at once
_SPARE: Final = 16  # more candidates than neighbours, so that rounding cannot lose one
_HASHED: Final = 4096  # rows of the matrix that are hashed at once


@dataclass
class Neighbours:
    """The nearest entries of some entries of one embedding matrix, as far as they were asked for.

    Attributes:
        name: the model's name, for the file.
        weight: (entry, hidden) the matrix.
        allowed: (entry,) which entries may be neighbours.
        k: how many are kept of each; fewer where the vocabulary has fewer.
        found: entry to its (k,) neighbours, nearest first; on the CPU.
    """

    name: str
    weight: Float[Tensor, "entry hidden"]
    allowed: Tensor
    k: int
    found: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    _kept: dict[Path, int] = field(default_factory=dict[Path, int])
    _seen: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        self.k = min(self.k, max(1, int(self.allowed.sum()) - 1))
        self._seen = _fingerprint(self.weight)

    def is_of(self, weight: Tensor) -> bool:
        """Whether this is the matrix that was looked through, and it has not changed since."""
        same = weight.data_ptr() == self.weight.data_ptr() and weight.shape == self.weight.shape
        return same and torch.equal(_fingerprint(weight), self._seen)

    def of(self, ids: Sequence[int], store: Store | None = None) -> Int[Tensor, "id k"]:
        """(id, k) the neighbours of each; those not found before are looked for now.

        Raises:
            OSError: they cannot be kept where `store` says; they are found all the same.
        """
        if store is not None and not store.fresh:
            self._load(store)
        missing = sorted(set(ids) - set(self.found))
        for start in range(0, len(missing), _ASKED):
            some = missing[start : start + _ASKED]
            rows = nearest(self.weight, self.allowed, some, self.k).cpu()
            self.found.update(zip(some, rows, strict=True))
        if store is not None and store.save:
            self._save(store)
        return torch.stack([self.found[one] for one in ids])

    def _path(self, store: Store) -> Path:
        name = re.sub(r"[^\w.-]+", "_", self.name).strip("_")
        return Path(store.folder) / f"{name}-{self._digest}-{self.k}.safetensors"

    @cached_property
    def _digest(self) -> str:
        """What the file's name says of the whole matrix, so that no other matrix reads it."""
        digest = hashlib.sha256(f"{tuple(self.weight.shape)} {self.weight.dtype}".encode())
        for part in self.weight.detach().split(_HASHED):
            digest.update(part.cpu().contiguous().view(torch.uint8).numpy().data)
        digest.update(self.allowed.cpu().numpy().data)
        return digest.hexdigest()[:16]

    def _load(self, store: Store) -> None:
        """Reads the file once; one that is missing or broken counts as empty."""
        path = self._path(store)
        if path in self._kept:
            return
        self._kept[path] = 0
        try:
            kept = load_file(path)
            ids, rows = kept["ids"], kept["neighbours"]
        except (OSError, SafetensorError, KeyError):
            return
        if rows.shape == (len(ids), self.k) and not rows.is_floating_point():
            self._kept[path] = len(ids)
            self.found = {**dict(zip(ids.tolist(), rows, strict=True)), **self.found}

    def _save(self, store: Store) -> None:
        """Writes everything that was found; readers see the old file or the new one, whole.

        Raises:
            OSError: nothing can be written there.
        """
        path = self._path(store)
        if self._kept.get(path) == len(self.found):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        ids = sorted(self.found)
        tensors = {
            "ids": torch.tensor(ids),
            "neighbours": torch.stack([self.found[one] for one in ids]),
        }
        handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".draft")
        os.close(handle)
        try:
            save_file(tensors, draft)
            Path(draft).replace(path)
            self._kept[path] = len(ids)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        finally:
            Path(draft).unlink(missing_ok=True)


@torch.no_grad()
def _fingerprint(weight: Tensor) -> Tensor:
    """(entry,) a number for each row, at the price of reading the matrix once.

    torch's own count of changes leaves out those that are made through `.data`.
    """
    places = torch.arange(weight.shape[1], device=weight.device)
    return weight @ (1.0 + places).cos().to(weight.dtype)


def matrix_of(network: Any, side: Side) -> Tensor:
    """(entry, hidden) the embeddings of one side."""
    return cast("Tensor", embedding_module(network, side).weight)


def neighbours_in(
    network: Any, tokenizer: Any, side: Side, *, name: str, k: int, plain: bool
) -> Neighbours:
    """An empty table for the embeddings of one side; see `Nearest` for `plain`."""
    allowed = allowed_in(network, tokenizer, side, plain=plain)
    return Neighbours(name, matrix_of(network, side), allowed, k)


def allowed_in(network: Any, tokenizer: Any, side: Side, *, plain: bool) -> Tensor:
    """(entry,) which entries may stand for others; see `Nearest` for `plain`."""
    weight = matrix_of(network, side)
    allowed = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
    if plain:
        allowed[len(tokenizer) :] = False
        allowed[[one for one in tokenizer.all_special_ids if one < len(weight)]] = False
    return allowed


@torch.no_grad()
def nearest(
    weight: Float[Tensor, "entry hidden"],
    allowed: Tensor,
    ids: Sequence[int],
    k: int,
) -> Int[Tensor, "id k"]:
    """(id, k) entries nearest to each of `ids` by Euclidean distance, the entry itself left out.

    Candidates are found by products of matrices, a stretch of the vocabulary at a time, and put in
    order by exact distances in float64: the answer does not depend on what else was asked. Entries
    at the same distance are ordered by id.
    """
    asked, allowed = torch.tensor(ids, device=weight.device), allowed.to(weight.device)
    rows = weight[asked].to(torch.promote_types(weight.dtype, torch.float32))
    most = min(2 * k + _SPARE, len(weight))
    best = torch.full((len(ids), 0), torch.inf, dtype=rows.dtype, device=rows.device)
    places = torch.empty((len(ids), 0), dtype=torch.long, device=rows.device)
    stretch = _DISTANCES // _ASKED
    for start in range(0, len(weight), stretch):
        part = weight[start : start + stretch].to(rows.dtype)
        far = part.pow(2).sum(-1) - 2 * rows @ part.T  # the squared distance, less a constant
        far = far.masked_fill(~allowed[start : start + stretch], torch.inf)
        here = torch.arange(start, start + len(part), device=rows.device).expand_as(far)
        best = torch.cat([best, far], 1)
        best, kept = best.topk(min(most, best.shape[1]), largest=False)
        places = torch.cat([places, here], 1).gather(1, kept)
    exact = (weight[places].double() - rows[:, None].double()).norm(dim=-1)
    exact = exact.masked_fill(~allowed[places] | (places == asked[:, None]), torch.inf)
    by_id = places.argsort(dim=-1)
    order = by_id.gather(1, exact.gather(1, by_id).argsort(dim=-1, stable=True))
    return places.gather(1, order[:, :k])
