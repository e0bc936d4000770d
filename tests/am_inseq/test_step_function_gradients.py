"""Gradients of step functions of the user's own, past the logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from am_inseq.errors import MissingSiteError, NotDifferentiableError
from am_inseq.face.functions import StepFunctionArgs
from tests.am_inseq.step_functions import own_probability, run
from tests.tiny import plain
from tests.tiny.families import tiny
from tests.tiny.texts import prefixes_of


def state_norm(forward_output, decoder_hidden_states) -> Tensor:
    """Something of a middle layer at the last position, and of the logits."""
    last = decoder_hidden_states[1][:, -1]
    return last.pow(2).sum(-1) + forward_output.logits[:, -1, :].logsumexp(-1)


def state_norm_of_a_decoder(forward_output, hidden_states) -> Tensor:
    return state_norm(forward_output, hidden_states)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart", "t5"])
def test_a_gradient_flows_through_hidden_states(family):
    model = tiny(family)
    function = state_norm if model.has_encoder else state_norm_of_a_decoder

    out = run(family, "saliency", attributed_fn=function, abs=False, attribute_target=True)

    for target, prefix in enumerate(prefixes_of(model.tokenizer, out.attribution)):
        start = plain.looked_up(model.network, prefix)
        leaf = start.clone().requires_grad_()
        cut = len(prefix.source)
        parts = iter([leaf[:cut], leaf[cut:]] if cut else [leaf])
        with plain._swapped(model.network, lambda _, parts=parts: next(parts)[None].clone()):
            given = plain._run(model.network, prefix, output_hidden_states=True)
        states = given.decoder_hidden_states if cut else given.hidden_states
        expected = torch.autograd.grad(function(given, states).sum(), leaf)[0]
        found = out.attribution.blocks["hidden"].values[target][: len(expected)]
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


def test_a_gradient_flows_through_embeddings():
    def first(args: StepFunctionArgs) -> Tensor:
        return 3 * args.decoder_input_embeds[:, 0].sum(-1)

    out = run("gpt2", "saliency", attributed_fn=first, abs=False).attribution

    hidden = out.blocks["hidden"].values
    assert torch.equal(hidden[:, 0], torch.full_like(hidden[:, 0], 3.0))
    assert not hidden[:, 1:].any()


def test_a_count_is_recorded_and_has_no_gradient():
    def above(args: StepFunctionArgs) -> Tensor:
        logits = args.forward_output.logits[:, -1, :]
        return (logits > logits.gather(-1, args.target_ids[:, None])).sum(-1)

    out = run("gpt2", step_scores=[above])

    assert out.step_scores["above"].dtype.is_floating_point
    with pytest.raises(NotDifferentiableError, match="'above' has no gradient here"):
        run("gpt2", "saliency", attributed_fn=above)
    assert run("gpt2", "occlusion", attributed_fn=above).attribution.score == "above"


def test_layer_methods_show_ids_but_no_hidden_states():
    def asks(args: StepFunctionArgs) -> Tensor:
        return args.forward_output.hidden_states[0].sum((1, 2))

    with pytest.raises(MissingSiteError, match="show a step function ids and logits"):
        run("gpt2", "layer_gradient_x_activation", attributed_fn=asks)
    out = run("gpt2", "layer_gradient_x_activation", attributed_fn=own_probability)
    same = run("gpt2", "layer_gradient_x_activation", attributed_fn="probability")
    torch.testing.assert_close(out.attribution.values, same.attribution.values)
