"""Methods that go along paths equal loops over prefixes, points and tokens by plain autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.numerics.designs import common_uniforms, streams
from am_inseq.numerics.paths import monotone, points
from tests.tiny import plain
from tests.tiny.families import ENCODER_DECODERS, FAMILIES, tiny
from tests.tiny.texts import PROMPT, prefixes_of

TARGET = " her idea"
STEPS = 2
MEASURE = plain.SCORES["probability"]
SEQUENTIAL = "sequential_integrated_gradients"
DISCRETIZED = "discretized_integrated_gradients"
SHAP = "gradient_shap"


def request(method: str, **kwargs: Any) -> Request:
    asked: dict[str, Any] = {"target": TARGET, "keep_hidden": True, "score": "probability"}
    return Request(prompt=PROMPT, method=method, budget=Budget(piece=3), **{**asked, **kwargs})


def run(family: str, method: str, **kwargs: Any) -> Attribution:
    return attribute(tiny(family), request(method, **kwargs))


def prefixes(family: str, out: Attribution) -> list[plain.Prefix]:
    return prefixes_of(tiny(family).tokenizer, out)


def ends(network: Any, prefix: plain.Prefix) -> tuple[Tensor, Tensor]:
    """(token, hidden) what the embedding modules give for the input and for the baseline."""
    return plain.looked_up(network, prefix), plain.looked_up(network, prefix, prefix.baseline)


def score_at(network: Any, prefix: plain.Prefix, point: Tensor) -> float:
    with torch.no_grad():
        logits = plain.logits_at(network, prefix, point)
    return float(MEASURE(logits, prefix.target, prefix.contrast))


def check(out: Attribution, rows: list[Tensor]) -> None:
    """Compares (token, hidden) rows of growing length, nothing at or after the target."""
    hidden = out.blocks["hidden"].values
    for index, row in enumerate(rows):
        assert float(row.abs().max()) > 1e-9
        torch.testing.assert_close(hidden[index, : len(row)], row, rtol=1e-7, atol=1e-12)
        assert not hidden[index, len(row) :].any()
    torch.testing.assert_close(out.blocks["total"].values, hidden.sum(-1))
    torch.testing.assert_close(out.blocks["magnitude"].values, hidden.norm(dim=-1))


def sequential(network: Any, prefix: plain.Prefix, steps: int, *, times: bool = True) -> Tensor:
    here, base = ends(network, prefix)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    rows = torch.zeros_like(here)
    for place in range(len(here)):
        for node, weight in zip(nodes, weights, strict=True):
            point = here.clone()
            point[place] = base[place] + (node + 1) / 2 * (here[place] - base[place])
            gradient = plain.gradient(network, prefix, MEASURE, point)
            rows[place] += weight / 2 * gradient[place]
    return rows * (here - base) * plain.factor(network) if times else rows


@pytest.mark.parametrize("family", FAMILIES)
def test_sequential_integrated_gradients(family: str):
    out = run(family, SEQUENTIAL, options={"n_steps": STEPS})
    network = tiny(family).network

    check(out, [sequential(network, p, STEPS) for p in prefixes(family, out)])


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_sequential_gradients_without_the_displacement(family: str):
    options = {"n_steps": STEPS, "multiply_by_inputs": False}
    out = run(family, SEQUENTIAL, options=options)
    network = tiny(family).network

    for index, prefix in enumerate(prefixes(family, out)):
        expected = sequential(network, prefix, STEPS, times=False)
        moves = [a != b for a, b in zip(prefix.ids, prefix.baseline, strict=True)]
        ours = out.blocks["hidden"].values[index, : len(expected)]
        torch.testing.assert_close(ours[moves], expected[moves], rtol=1e-7, atol=1e-12)
    assert out.diagnostics.residual is None


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_moved_alone_ends_at_the_drop_of_its_occlusion(family: str):
    drops = run(family, "occlusion").values
    missed: list[float] = []
    for steps in (1, 64):
        out = run(family, SEQUENTIAL, options={"n_steps": steps})
        missed.append(float((out.values - drops).abs().max()))
        assert out.diagnostics.residual is not None
        residual = drops.sum(-1) - out.values.sum(-1)
        assert out.diagnostics.residual == pytest.approx(residual.tolist(), abs=1e-9)

    assert missed[1] < min(2e-4, missed[0] / 5)  # norms of lines that pass near 0 take many steps


@pytest.mark.parametrize("family", ["gpt2", "marian"])
def test_the_delta_of_sequential_gradients_is_that_of_the_whole_row(family: str):
    out = run(family, SEQUENTIAL, options={"n_steps": STEPS, "return_convergence_delta": True})
    network = tiny(family).network

    for index, prefix in enumerate(prefixes(family, out)):
        high, low = (score_at(network, prefix, point) for point in ends(network, prefix))
        expected = float(out.values[index].sum()) - (high - low)
        assert float(out.blocks["delta"].values[index]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("stdevs", [0.0, 0.3])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_shap(family: str, stdevs: float):
    samples = 3
    out = run(family, SHAP, options={"n_samples": samples, "stdevs": stdevs, "seed": 4})
    network = tiny(family).network
    scale = plain.factor(network)
    alphas = common_uniforms(4, samples)
    noise = stdevs * streams(4, len(out.tokens)).normals(samples, 16) / scale

    rows: list[Tensor] = []
    each: list[Tensor] = []
    for prefix in prefixes(family, out):
        here, base = ends(network, prefix)
        parts: list[Tensor] = []
        for alpha, shift in zip(alphas, noise, strict=True):
            move = here + shift[: len(here)] - base
            gradient = plain.gradient(network, prefix, MEASURE, base + alpha * move)
            parts.append(gradient * move * scale)
        rows.append(torch.stack(parts).mean(0))
        each.append(torch.stack(parts).sum(-1))

    check(out, rows)
    errors = out.blocks["standard_error"].values
    assert out.diagnostics.residual is not None
    for index, (prefix, totals) in enumerate(zip(prefixes(family, out), each, strict=True)):
        expected = totals.std(0) / samples**0.5
        torch.testing.assert_close(errors[index, : len(expected)], expected, rtol=1e-5, atol=1e-9)
        high, low = (score_at(network, prefix, point) for point in ends(network, prefix))
        missed = high - low - float(rows[index].sum())
        assert out.diagnostics.residual[index] == pytest.approx(missed, abs=1e-7)


def test_more_samples_scatter_less():
    few, many = (
        run("gpt2", SHAP, options={"n_samples": samples}).diagnostics.standard_error
        for samples in (32, 512)
    )

    assert few is not None
    assert many is not None
    assert all(3 < one / other < 5 for one, other in zip(few, many, strict=True))  # about 4


def test_one_sample_says_nothing_of_its_scatter():
    assert run("gpt2", SHAP, options={"n_samples": 1}).diagnostics.standard_error is None


def test_a_seed_gives_its_scores_and_another_seed_gives_others():
    one, same, other = (run("gpt2", SHAP, options={"seed": seed}).values for seed in (1, 1, 2))

    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_draws_do_not_depend_on_what_follows(family: str):
    options = {"stdevs": 0.2}
    asked = request(SHAP, target=None, options=options)
    short = attribute(tiny(family), replace(asked, target_ids=(50, 60)))
    long = attribute(tiny(family), replace(asked, target_ids=(50, 60, 70, 80)))

    common = short.targets[-1]
    for name in ("total", "standard_error"):
        ours, theirs = (out.blocks[name].values[:2, :common] for out in (short, long))
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)


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


ALL = (
    (SEQUENTIAL, {"n_steps": 3}),
    (SHAP, {"n_samples": 4, "stdevs": 0.1}),
    (DISCRETIZED, {"n_steps": 5, "n_neighbors": 6}),
    ("integrated_gradients", {"n_steps": 5}),
)
SMALL = (
    Budget(1, 1, 1, 1, 1, 1),
    Budget(tokens=60, vectors=90, targets=2, piece=2),
    Budget(tokens=2**20, vectors=2**20, piece=64),
)


def check_same(ours: Attribution, theirs: Attribution) -> None:
    for name, block in theirs.blocks.items():
        torch.testing.assert_close(ours.blocks[name].values, block.values, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("budget", SMALL, ids=["one", "some", "all"])
@pytest.mark.parametrize(("method", "options"), ALL)
def test_no_score_depends_on_the_budget(method: str, options: dict[str, Any], budget: Budget):
    asked = request(method, options=options)

    check_same(attribute(tiny("gpt2"), replace(asked, budget=budget)), run_of("gpt2", asked))


_SEEN: dict[tuple[str, str], Attribution] = {}


def run_of(family: str, asked: Request) -> Attribution:
    """The request's answer, computed once a family and method."""
    key = (family, str(asked.method))
    if key not in _SEEN:
        _SEEN[key] = attribute(tiny(family), asked)
    return _SEEN[key]


@pytest.mark.parametrize(("method", "options"), ALL)
@pytest.mark.parametrize("family", ["qwen2", "marian"])
def test_models_that_cannot_be_read_in_pieces_give_the_same(
    family: str, method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    asked = request(method, options=options)
    chained = attribute(tiny(family), asked)

    monkeypatch.setattr(HuggingFaceModel, "can_chain", lambda _self: False)

    check_same(attribute(tiny(family), asked), chained)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(
    ("method", "options"), [one for one in ALL if one[0] != SHAP], ids=lambda one: str(one)[:12]
)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_the_internal_batch_size_bounds_rows_and_changes_no_score(
    family: str, method: str, options: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
):
    asked = request(method, options=options)
    free = run_of(family, asked)
    seen: list[int] = []
    network = tiny(family).network
    hook = network.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(_rows(kwargs)), with_kwargs=True
    )

    try:
        bounded = attribute(
            tiny(family), replace(asked, options={**options, "internal_batch_size": most})
        )
    finally:
        hook.remove()

    assert max(seen) == most
    check_same(bounded, free)


def _rows(kwargs: dict[str, Any]) -> int:
    return max(len(value) for name, value in kwargs.items() if "input" in name)


@pytest.mark.parametrize("family", ["gpt2", "marian"])
def test_one_target_is_read_as_several_are(family: str):
    asked = request(SEQUENTIAL, options={"n_steps": STEPS})
    whole = attribute(tiny(family), asked)

    last = attribute(tiny(family), replace(asked, explain=slice(-1, None)))

    torch.testing.assert_close(last.values[0], whole.values[-1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_sequential_gradients_of_the_source_alone(family: str):
    options = {"n_steps": STEPS}
    whole = run(family, SEQUENTIAL, options=options)
    source = run(family, SEQUENTIAL, options=options, attribute_target=False)
    cut = sum(token.side == "encoder" for token in whole.tokens)

    torch.testing.assert_close(source.values[:, :cut], whole.values[:, :cut], rtol=1e-9, atol=1e-12)
    assert not source.values[:, cut:].any()


@pytest.mark.parametrize(("method", "options"), ALL)
def test_paths_that_miss_the_input_still_show_it_to_the_guard(
    method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    from am_inseq.engine.check import Guard

    seen: list[int] = []
    own = Guard.compare

    def compare(self: Guard, logits: Tensor, ids: Tensor, first: int) -> None:
        seen.append(len(ids))
        own(self, logits, ids, first)

    monkeypatch.setattr(Guard, "compare", compare)
    out = run("gpt2", method, options=options)

    assert seen.count(len(out.targets)) >= 2  # once at once, once in pieces


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        (SHAP, {"n_samples": 0}, "n_samples must be at least 1"),
        (SHAP, {"stdevs": -1.0}, "stdevs must be 0 or above"),
        (SHAP, {"seed": -1}, "seed must be at least 0"),
        (SEQUENTIAL, {"n_steps": 0}, "n_steps must be at least 1"),
        (SEQUENTIAL, {"internal_batch_size": 0}, "internal_batch_size must be at least 1"),
        (DISCRETIZED, {"n_steps": 1}, "n_steps must be at least 2"),
        (DISCRETIZED, {"n_neighbors": 0}, "n_neighbors must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(method: str, options: dict[str, Any], sentence: str):
    with pytest.raises(InputError, match=sentence):
        run("gpt2", method, options=options)


@pytest.mark.parametrize(
    ("method", "options", "nearest"),
    [
        (SEQUENTIAL, {"method": "gauslegendre"}, "gausslegendre"),
        (DISCRETIZED, {"method": "gredy"}, "greedy"),
        (DISCRETIZED, {"mode": "distances"}, "distance"),
    ],
)
def test_names_that_do_not_exist_are_refused(method: str, options: dict[str, Any], nearest: str):
    with pytest.raises(UnknownNameError, match=nearest):
        run("gpt2", method, options=options)


def test_neighbours_are_kept_in_the_folder_that_was_given(tmp_path: Any):
    options = {"n_steps": 4, "cache_dir": str(tmp_path)}

    first = run("gpt2", DISCRETIZED, options=options)
    (file,) = tmp_path.iterdir()
    again = run("gpt2", DISCRETIZED, options={**options, "overwrite_cache": True})

    assert file.suffix == ".safetensors"
    assert torch.equal(first.values, again.values)
