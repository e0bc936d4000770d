"""Random designs: draws that depend on the seed and the token, and on nothing beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from am_inseq.errors import InputError


@dataclass(frozen=True, slots=True)
class Streams:
    """One stream of random numbers for each token.

    A token's numbers are the same however many tokens stand after it, so that a text's scores do
    not change when it goes on.

    Attributes:
        generators: one for each token.
    """

    generators: tuple[np.random.Generator, ...]

    def uniforms(self, rows: int) -> Float[Tensor, "row token"]:
        """(row, token) the next numbers of every stream, uniform in [0, 1), float64."""
        drawn = [generator.random(rows) for generator in self.generators]
        return torch.from_numpy(np.stack(drawn, axis=1)) if drawn else torch.zeros(rows, 0)

    def normals(self, rows: int, width: int) -> Float[Tensor, "row token width"]:
        """(row, token, width) the next numbers of every stream, standard normal, float64."""
        drawn = [generator.standard_normal((rows, width)) for generator in self.generators]
        return torch.from_numpy(np.stack(drawn, axis=1)) if drawn else torch.zeros(rows, 0, width)


def streams(seed: int, tokens: int) -> Streams:
    """Streams for the first `tokens` tokens.

    Raises:
        InputError: a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed must be 0 or above, not {seed}")
    return Streams(tuple(np.random.Generator(np.random.PCG64((seed, i))) for i in range(tokens)))


def common_uniforms(seed: int, rows: int) -> tuple[float, ...]:
    """One number a row that all tokens share, uniform in [0, 1); in no token's stream."""
    return tuple(np.random.Generator(np.random.PCG64((seed, 0, 1))).random(rows).tolist())
