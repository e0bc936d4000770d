"""Scores of places inside the network equal those of plain hooks, one prefix at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from am_inseq.attribute import Request, attribute
from am_inseq.core.attribution import Attribution
from am_inseq.engine.memory import Budget
from am_inseq.errors import InputError, MissingSiteError, UnknownNameError
from tests.tiny import plain
from tests.tiny.families import DECODERS, ENCODER_DECODERS, FAMILIES, tiny
from tests.tiny.texts import PROMPT, TARGET, prefixes_of

SCORE = plain.SCORES["probability"]
STEPS = 3
PLACES = {
    "gpt2": ("transformer.h.0", "transformer.h[1].attn", "transformer.h.1.mlp", "transformer.ln_f"),
    "llama": ("model.layers.0", "model.layers[1].self_attn", "model.layers.1.mlp.act_fn"),
    "qwen2": ("model.layers.1",),
    "t5": ("encoder.block.0", "decoder.block[1]", "encoder.final_layer_norm"),
    "bart": ("model.encoder.layers.1", "model.decoder.layers[0].self_attn"),
    "marian": ("model.encoder.layers[0].fc1", "model.decoder.layers.1"),
}
CASES = [(family, place) for family, places in PLACES.items() for place in places]
LAYER_METHODS = ("layer_gradient_x_activation", "layer_integrated_gradients", "layer_deeplift")


def run(family: str, method: str, place: Any = None, **kwargs: Any) -> Attribution:
    options = {"target_layer": place, **kwargs.pop("options", {})}
    asked = Request(
        prompt=PROMPT,
        target=TARGET,
        method=method,
        score="probability",
        options=options,
        keep_hidden=True,
        budget=Budget(piece=2),  # several pieces in every sequence
    )
    return attribute(tiny(family), replace(asked, **kwargs))


def module_at(family: str, place: str) -> nn.Module:
    return tiny(family).network.get_submodule(place.replace("[", ".").replace("]", ""))


@contextlib.contextmanager
def hooked(
    module: nn.Module, swap: Callable[[Tensor], Tensor], *, is_input: bool
) -> Generator[None]:
    def after(_module: nn.Module, _args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (swap(output[0]), *output[1:])
        return swap(output)

    def before(_module: nn.Module, args: Any, kwargs: Any) -> Any:
        if args:
            return (swap(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": swap(kwargs["hidden_states"])}

    if is_input:
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def logits(network: Any, prefix: plain.Prefix, ids: tuple[int, ...] | None = None) -> Tensor:
    """(vocab,) with a graph from the module's hook on, always from ids."""
    read = ids or prefix.ids
    cut = len(prefix.source)
    decoder = torch.tensor([read[cut:]])
    if not cut:
        return network(input_ids=decoder).logits[0, -1]
    return network(input_ids=torch.tensor([read[:cut]]), decoder_input_ids=decoder).logits[0, -1]


def activation(
    network: Any,
    module: nn.Module,
    prefix: plain.Prefix,
    ids: Any = None,
    *,
    is_input: bool = False,
) -> Tensor:
    """(token, hidden) what the module gives out, or reads."""
    found: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        found.append(value.detach())
        return value

    with hooked(module, keep, is_input=is_input), torch.no_grad():
        logits(network, prefix, ids)
    return found[0][0]


def gradient(
    network: Any, module: nn.Module, prefix: plain.Prefix, point: Tensor, *, is_input: bool = False
) -> Tensor:
    """D score / d activation with `point` in its place."""
    leaf = point.clone().requires_grad_()
    with hooked(module, lambda _value: leaf[None], is_input=is_input):
        score = SCORE(logits(network, prefix), prefix.target, prefix.contrast)
    return torch.autograd.grad(score, leaf)[0]


def check(out: Attribution, rows: list[Tensor], *, of_encoder: bool) -> None:
    """The hidden block against rows over the tokens of one side; the other side has none."""
    cut = sum(token.side == "encoder" for token in out.tokens)
    expected = torch.zeros_like(out.blocks["hidden"].values)
    for index, row in enumerate(rows):
        start = 0 if of_encoder else cut
        expected[index, start : start + len(row)] = row
    assert float(expected.abs().max()) > 1e-8
    torch.testing.assert_close(out.blocks["hidden"].values, expected, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(out.blocks["total"].values, expected.sum(-1), rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(
        out.blocks["magnitude"].values, expected.norm(dim=-1), rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize(("family", "place"), CASES)
def test_gradient_times_activation_is_that_of_each_prefix(family, place):
    network, module = tiny(family).network, module_at(family, place)

    out = run(family, "layer_gradient_x_activation", place)

    rows: list[Tensor] = []
    for prefix in prefixes_of(tiny(family).tokenizer, out):
        point = activation(network, module, prefix)
        rows.append(point * gradient(network, module, prefix, point))
    check(out, rows, of_encoder="encoder" in place)


@pytest.mark.parametrize(
    ("family", "place"),
    [
        ("gpt2", "transformer.h.1"),
        ("llama", "model.layers.1.self_attn"),
        ("bart", "model.encoder.layers.1"),
    ],
)
def test_what_enters_a_module_is_that_of_each_prefix(family, place):
    network, module = tiny(family).network, module_at(family, place)

    out = run(
        family, "layer_gradient_x_activation", place, options={"attribute_to_layer_input": True}
    )

    rows: list[Tensor] = []
    for prefix in prefixes_of(tiny(family).tokenizer, out):
        point = activation(network, module, prefix, is_input=True)
        rows.append(point * gradient(network, module, prefix, point, is_input=True))
    check(out, rows, of_encoder="encoder" in place)


@pytest.mark.parametrize(("family", "place"), [case for case in CASES if "decoder" not in case[1]])
def test_integrated_gradients_of_a_layer_are_those_of_each_prefix(family, place):
    network, module = tiny(family).network, module_at(family, place)
    of_encoder = "encoder" in place

    out = run(
        family,
        "layer_integrated_gradients",
        place,
        options={"n_steps": STEPS, "internal_batch_size": 2},
        attribute_target=not of_encoder,
    )

    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    rows: list[Tensor] = []
    for prefix in prefixes_of(tiny(family).tokenizer, out):
        decoder = prefix.ids if of_encoder else prefix.baseline
        ids = (*prefix.baseline[: len(prefix.source)], *decoder[len(prefix.source) :])
        here = activation(network, module, prefix)
        there = activation(network, module, prefix, ids)
        mean = torch.zeros_like(here)
        for node, weight in zip(nodes, weights, strict=True):
            point = there + (node + 1) / 2 * (here - there)
            mean += weight / 2 * gradient(network, module, prefix, point)
        rows.append(mean * (here - there))
    check(out, rows, of_encoder=of_encoder)


def ask(family: str, method: str, **kwargs: Any) -> Attribution:
    """A method that knows no layers."""
    asked = Request(
        prompt=PROMPT, target=TARGET, method=method, score="probability", keep_hidden=True
    )
    return attribute(tiny(family), replace(asked, **kwargs))


def check_same(ours: Attribution, theirs: Attribution) -> None:
    for name in ("total", "magnitude", "hidden"):
        torch.testing.assert_close(
            ours.blocks[name].values, theirs.blocks[name].values, rtol=1e-8, atol=1e-12
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_embeddings_are_the_default_layer(family):
    side = {"attribute_target": family in DECODERS}  # an encoder-decoder's are its encoder's
    steps = {"n_steps": STEPS}

    check_same(
        run(family, "layer_gradient_x_activation", **side), ask(family, "input_x_gradient", **side)
    )
    check_same(
        run(family, "layer_integrated_gradients", options=steps, **side),
        ask(family, "integrated_gradients", options=steps, **side),
    )
    check_same(run(family, "layer_deeplift", **side), ask(family, "deeplift", **side))


@pytest.mark.parametrize("method", LAYER_METHODS)
@pytest.mark.parametrize("family", ["gpt2", "qwen2", "t5", "bart"])
def test_all_blocks_at_once_are_each_block_alone(family, method):
    options = {"n_steps": STEPS} if method == "layer_integrated_gradients" else {}

    alone = [run(family, method, number, options=options) for number in (0, -1)]
    every = run(family, method, "all", options=options)

    places = every.blocks["layer_total"].places
    assert places == tuple(one.blocks["total"].places[0] for one in alone)
    assert len(set(places)) == 2
    for index, one in enumerate(alone):
        for name in ("total", "magnitude"):
            found = every.blocks[f"layer_{name}"].values[..., index]
            torch.testing.assert_close(found, one.blocks[name].values, rtol=1e-8, atol=1e-13)
        found = every.blocks["hidden"].values[:, :, index]
        torch.testing.assert_close(found, one.blocks["hidden"].values, rtol=1e-8, atol=1e-13)
    torch.testing.assert_close(
        every.blocks["total"].values, every.blocks["layer_total"].values.mean(-1)
    )


@pytest.mark.parametrize("method", ["layer_gradient_x_activation", "layer_deeplift"])
def test_one_pass_serves_all_layers(method):
    one = run("gpt2", method, 0).diagnostics
    every = run("gpt2", method, ["all", "transformer.ln_f", None]).diagnostics

    assert every.forward_tokens == one.forward_tokens
    assert every.backward_tokens == one.backward_tokens


@pytest.mark.parametrize("family", DECODERS)
def test_blocks_of_a_decoder_account_for_the_whole_difference(family):
    path = run(family, "layer_integrated_gradients", "all", options={"n_steps": 60}).diagnostics
    differences = run(family, "layer_deeplift", "all")

    assert path.residual is not None
    assert differences.diagnostics.residual is not None
    assert max(map(abs, path.residual)) < 1e-6
    assert max(map(abs, differences.diagnostics.residual)) < 1e-12
    sums = differences.blocks["layer_total"].values.sum(1)
    torch.testing.assert_close(sums[:, 0], sums[:, 1])


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_the_encoders_output_accounts_for_what_the_source_does(family):
    last = {"t5": "encoder", "bart": "model.encoder", "marian": "model.encoder"}[family]

    out = run(family, "layer_deeplift", last, attribute_target=False)

    assert out.diagnostics.residual is not None
    assert max(map(abs, out.diagnostics.residual)) < 1e-12


@pytest.mark.parametrize("place", ["model.decoder.layers.0.fc1", "model.encoder.layers.0"])
def test_scores_do_not_depend_on_the_budget(place):
    budgets = (
        Budget(1, 1, 1, 1, 1, 1),
        Budget(piece=1),
        Budget(2**30, 2**30, 2**30, 2**30, 99, 99),
    )
    for method in LAYER_METHODS:
        options = {"n_steps": 2} if method == "layer_integrated_gradients" else {}
        asked = {"target": " her", "options": options}
        small, *others = (run("marian", method, place, budget=one, **asked) for one in budgets)
        for out in others:
            check_same(out, small)


@pytest.mark.parametrize(
    ("place", "error", "match"),
    [
        ("transformer.h.1.atn", UnknownNameError, "transformer.h.1.attn"),
        ("nothing at all", UnknownNameError, "known: "),
        (7, InputError, "from 0 to 1"),
        (True, InputError, "not True"),
        ([0, "transformer.h.0"], InputError, "twice"),
        ([], InputError, "names no place"),
        (nn.Linear(1, 1), InputError, "not part of this model"),
        ("transformer.drop.missing", UnknownNameError, "transformer.drop"),
        ("lm_head", MissingSiteError, "one vector"),
    ],
)
def test_places_that_are_not_there_are_refused_in_a_sentence(place, error, match):
    with pytest.raises(error, match=match):
        run("gpt2", "layer_gradient_x_activation", place)


def test_ids_that_enter_the_embeddings_are_no_activations():
    with pytest.raises(InputError, match="are ids"):
        run("gpt2", "layer_deeplift", options={"attribute_to_layer_input": True})


def test_a_decoder_module_needs_the_targets_side():
    with pytest.raises(InputError, match="attribute_target"):
        run("bart", "layer_deeplift", "all", attribute_target=False)


def test_modules_of_the_network_and_numbers_as_text_name_places():
    by_module = run("gpt2", "layer_deeplift", tiny("gpt2").network.transformer.h[1])

    check_same(run("gpt2", "layer_deeplift", "-1"), by_module)
    check_same(run("gpt2", "layer_deeplift", "transformer.h.1"), by_module)


def test_the_gradient_alone_where_activations_are_not_multiplied():
    place = "transformer.h.1"
    network, module = tiny("gpt2").network, module_at("gpt2", place)

    out = run("gpt2", "layer_gradient_x_activation", place, options={"multiply_by_inputs": False})

    rows = [
        gradient(network, module, prefix, activation(network, module, prefix))
        for prefix in prefixes_of(tiny("gpt2").tokenizer, out)
    ]
    check(out, rows, of_encoder=False)


def test_internal_batch_size_is_a_number_from_one_on():
    with pytest.raises(InputError, match="from 1 on"):
        run("gpt2", "layer_integrated_gradients", options={"internal_batch_size": 0})
