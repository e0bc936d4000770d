"""Discretized integrated gradients equal loops over prefixes, words and points by autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from am_inseq.core.attribution import Block
from am_inseq.methods import METHODS
from am_inseq.numerics.paths import monotone, points
from am_inseq.results import residual_warnings
from tests.properties.along_paths import DISCRETIZED, MEASURE, check, ends, prefixes, run, score_at
from tests.tiny import plain
from tests.tiny.families import FAMILIES, tiny


def vocabulary(network: Any, side: int) -> Tensor:
    """(entry, hidden) what the embedding module of one side gives for every entry."""
    modules: list[Any] = [network.get_input_embeddings()]
    if network.config.is_encoder_decoder:
        modules = [network.get_encoder().embed_tokens, network.get_decoder().embed_tokens]
    module = modules[side]
    with torch.no_grad():
        return module(torch.arange(module.weight.shape[0]))


def turns(anchor: float, here: float, base: float) -> bool:
    return not min(here, base) <= anchor <= max(here, base)


def straightened(anchor: list[float], here: list[float], base: list[float], steps: int):
    return [
        x - (x - b) / steps if turns(a, x, b) else a
        for a, x, b in zip(anchor, here, base, strict=True)
    ]


def walk(
    table: list[list[float]], word: int, base: int, steps: int, strategy: str, k: int
) -> list[int]:
    """The words of a path, by loops."""
    path = [word]
    while len(path) < steps - 1:
        here = path[-1]
        around = sorted(
            (i for i in range(len(table)) if i != here),
            key=lambda i: sum((a - b) ** 2 for a, b in zip(table[i], table[here], strict=True)),
        )[:k]
        able = [i for i in around if i not in path and i != base]
        if here == base or not able:
            path.append(base)
            continue

        def cost(one: int, here: int = here) -> float:
            if strategy == "maxcount":
                return sum(map(turns, table[one], table[here], table[base]))
            straight = straightened(table[one], table[here], table[base], steps)
            return sum((a - b) ** 2 for a, b in zip(table[one], straight, strict=True))

        path.append(min(able, key=cost))
    return path


def discretized_path(
    network: Any, tokenizer: Any, prefix: plain.Prefix, strategy: str, steps: int, k: int
) -> Tensor:
    """(point, token, hidden) in what the embedding modules give, the baseline first."""
    columns: list[Tensor] = []
    for place, (word, base) in enumerate(zip(prefix.ids, prefix.baseline, strict=True)):
        side = int(bool(prefix.source) and place >= len(prefix.source))
        table: list[list[float]] = vocabulary(network, side).tolist()
        words = [word] * (steps - 1)
        if word not in tokenizer.all_special_ids:
            words = walk(table, word, base, steps, strategy, k)
        path = [table[word]]
        for one in words[1:]:
            path.append(straightened(table[one], path[-1], table[base], steps))
        path.append(table[base])
        columns.append(torch.tensor(path[::-1], dtype=torch.float64))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("strategy", ["greedy", "maxcount"])
@pytest.mark.parametrize("family", FAMILIES)
def test_discretized_integrated_gradients(family: str, strategy: str):
    steps, k = 5, 4
    options = {"n_steps": steps, "n_neighbors": k, "method": strategy}
    out = run(family, DISCRETIZED, options=options, target=None, target_ids=(40, 50))
    model = tiny(family)
    network, scale = model.network, plain.factor(model.network)

    rows: list[Tensor] = []
    for prefix in prefixes(family, out):
        path = discretized_path(network, model.tokenizer, prefix, strategy, steps, k)
        row = torch.zeros_like(path[0])
        for point, step in zip(path, path.diff(dim=0), strict=False):
            row += plain.gradient(network, prefix, MEASURE, point) * step * scale
        rows.append(row)

    check(out, rows)
    assert out.diagnostics.residual is not None
    for prefix, row, residual in zip(
        prefixes(family, out), rows, out.diagnostics.residual, strict=True
    ):
        high, low = (score_at(network, prefix, point) for point in ends(network, prefix))
        assert residual == pytest.approx(high - low - float(row.sum()), abs=1e-9)


@pytest.mark.parametrize("family", ["llama", "marian"])
def test_discretized_gradients_times_the_displacement(family: str):
    options = {"n_steps": 4, "n_neighbors": 5}
    once = run(family, DISCRETIZED, options=options)
    twice = run(family, DISCRETIZED, options={**options, "multiply_by_inputs": True})
    network = tiny(family).network

    for index, prefix in enumerate(prefixes(family, once)):
        here, base = (point * plain.factor(network) for point in ends(network, prefix))
        ours, theirs = (out.blocks["hidden"].values[index, : len(here)] for out in (twice, once))
        torch.testing.assert_close(ours, theirs * (here - base), rtol=1e-9, atol=1e-12)
    assert twice.diagnostics.residual is None


VECTORS = st.integers(0, 1000).map(
    lambda seed: torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(seed)).double()
)


@given(words=VECTORS, steps=st.integers(2, 8))
def test_paths_go_from_the_baseline_to_the_word_and_never_turn_back(words: Tensor, steps: int):
    baseline = words[-1].flip(0)
    path = points(words[: steps - 1], baseline, steps)

    assert len(path) == steps
    assert torch.equal(path[0], baseline)
    assert torch.equal(path[-1], words[0])
    way = (words[0] - baseline).sign()
    assert (path.diff(dim=0) * way >= -1e-12).all()


@given(words=VECTORS, steps=st.integers(1, 50))
def test_an_anchor_on_the_way_stays_and_any_other_steps_towards_the_baseline(
    words: Tensor, steps: int
):
    here, baseline, anchor = words[:3]
    between = (here - anchor).sign() * (anchor - baseline).sign() >= 0

    made = monotone(anchor, here, baseline, steps)

    assert torch.equal(made[between], anchor[between])
    step = here - (here - baseline) / steps
    assert torch.equal(made[~between], step[~between])


def test_neighbours_are_kept_in_the_folder_that_was_given(tmp_path: Any):
    options = {"n_steps": 4, "cache_dir": str(tmp_path)}

    first = run("gpt2", DISCRETIZED, options=options)
    (file,) = tmp_path.iterdir()
    again = run("gpt2", DISCRETIZED, options={**options, "overwrite_cache": True})

    assert file.suffix == ".safetensors"
    assert torch.equal(first.values, again.values)


def test_a_folder_that_cannot_be_written_costs_no_result(tmp_path: Any):
    (tmp_path / "file").write_text("in the way")
    plain_run = run("gpt2", DISCRETIZED, options={"n_steps": 4})

    out = run("gpt2", DISCRETIZED, options={"n_steps": 4, "cache_dir": str(tmp_path / "file")})

    assert torch.equal(out.values, plain_run.values)
    (told,) = [one for one in out.diagnostics.warnings if "cache_dir" in one]
    assert "could not be kept in cache_dir" in told


def test_what_more_steps_do_not_mend_is_not_promised():
    total = Block(torch.tensor([[0.5, 0.2]]), ("target", "token"))
    residual = Block(torch.tensor([0.3]), ("target",))
    told = {
        name: residual_warnings(residual, {"total": total}, "nat", [o.name for o in spec.options])
        for name, spec in METHODS.items()
    }

    assert "word to word" in told[DISCRETIZED][0]
    assert "more steps or samples help" in told["integrated_gradients"][0]
