"""Step functions of the user's own, in both styles: what they see and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import am_inseq
from am_inseq.attribute import Request, attribute
from am_inseq.core.specs import Unit
from am_inseq.errors import InputError, UnknownNameError
from am_inseq.face.functions import FUNCTIONS, StepFunctionArgs, register_step_function
from am_inseq.scores import SCORES
from tests.am_inseq.step_functions import face, own_probability, run
from tests.tiny import plain
from tests.tiny.families import FAMILIES, tiny
from tests.tiny.texts import PROMPT, TARGET, prefixes_of


@pytest.fixture(autouse=True)
def _as_before():
    tables: tuple[Any, ...] = (SCORES, FUNCTIONS)
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


def seed_probability(
    attribution_model, forward_output, target_ids, power: float = 1.0, **kwargs
) -> Tensor:
    """The probability, to a power, with everything by its name."""
    logits = forward_output.logits[:, -1, :]
    assert {"decoder_input_ids", "encoder_attention_mask"} <= set(kwargs)
    return logits.softmax(-1).gather(-1, target_ids[:, None]).squeeze(-1) ** power


STYLES = pytest.mark.parametrize("function", [own_probability, seed_probability])


# as the seed has it: a score of one's own


@STYLES
@pytest.mark.parametrize("family", FAMILIES)
def test_a_registered_function_is_recorded_at_every_target(family, function):
    am_inseq.register_step_function(function, "mine", {"spans": "prod"})

    out = run(family, step_scores=["mine", "probability"])

    torch.testing.assert_close(out.step_scores["mine"], out.step_scores["probability"])
    assert "mine" in am_inseq.list_step_functions()
    assert SCORES["mine"].aggregates == {"spans": "prod"}
    assert SCORES["mine"].unit is Unit.OWN


@STYLES
@pytest.mark.parametrize("family", ["gpt2", "t5", "marian"])
@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "occlusion"])
def test_a_registered_function_is_explained_as_the_same_built_in_score(family, function, method):
    register_step_function(function, "mine")
    options: dict[str, Any] = {"n_steps": 4} if method == "integrated_gradients" else {}

    ours = run(family, method, attributed_fn="mine", **options).attribution
    theirs = run(family, method, attributed_fn="probability", **options).attribution

    assert ours.score == "mine"
    for name, block in theirs.blocks.items():
        torch.testing.assert_close(ours.blocks[name].values, block.values, rtol=1e-5, atol=1e-9)


@STYLES
def test_options_reach_the_function_wherever_it_is_used(function):
    register_step_function(function, "mine")

    out = run("gpt2", "occlusion", attributed_fn="mine", step_scores="mine", power=2.0)
    named = run("gpt2", step_scores=["mine"], step_scores_args={"mine": {"power": 3}})
    once = run("gpt2", step_scores=["mine"])

    expected = once.step_scores["mine"]
    torch.testing.assert_close(out.step_scores["mine"], expected**2)
    torch.testing.assert_close(named.step_scores["mine"], expected**3)


@STYLES
def test_a_function_may_be_given_as_it_is(function):
    out = run("gpt2", "saliency", attributed_fn=function, step_scores=[function, "probability"])

    name = function.__name__
    assert out.attribution.score == name
    torch.testing.assert_close(out.step_scores[name], out.step_scores["probability"])
    assert name not in SCORES
    unnamed = run("gpt2", attributed_fn=lambda args: args.forward_output.logits[:, -1, 0])
    assert unnamed.attribution.score == "<lambda>"


def test_the_functional_core_knows_registered_names():
    register_step_function(own_probability, "mine")

    out = attribute(
        tiny("gpt2"),
        Request(prompt=PROMPT, target=TARGET, score="mine", step_scores=("mine", "probability")),
    )

    assert out.step_scores["mine"] == pytest.approx(out.step_scores["probability"], rel=1e-9)


def test_a_contrast_made_by_hand_keeps_its_keyword():
    """The example of inseq's tutorial, whose function names its contrast itself."""

    def prob_diff(forward_output, decoder_input_ids, target_ids, contrast_ids, **kwargs):
        shares = forward_output.logits[:, -1, :].softmax(-1)
        other = contrast_ids[:, decoder_input_ids.shape[1]].expand(len(shares))
        ours, theirs = (shares.gather(-1, ids[:, None]).squeeze(-1) for ids in (target_ids, other))
        return ours - theirs

    register_step_function(prob_diff, "by_hand")
    model = face("gpt2", "input_x_gradient")
    whole = PROMPT + TARGET
    contrast = PROMPT + " his cats was sad"
    ids = torch.tensor([model.tokenizer(contrast)["input_ids"]])
    first = len(model.tokenizer(PROMPT)["input_ids"])
    last = min(ids.shape[1], len(model.tokenizer(whole)["input_ids"]))
    asked: dict[str, Any] = {"show_progress": False, "attr_pos_end": last}

    ours = model.attribute(PROMPT, whole, attributed_fn="by_hand", contrast_ids=ids, **asked)[0]

    pairs = [(place, place) for place in range(first, last)]
    theirs = model.attribute(
        PROMPT,
        whole,
        attributed_fn="contrast_prob_diff",
        contrast_targets=contrast,
        contrast_targets_alignments=pairs,
        **asked,
    )[0]
    torch.testing.assert_close(ours.attribution.values, theirs.attribution.values)


# what a function sees


def seen(family: str, **kwargs: Any) -> list[StepFunctionArgs]:
    found: list[StepFunctionArgs] = []

    def look(args: StepFunctionArgs) -> Tensor:
        found.append(args)
        return args.forward_output.logits[:, -1, 0]

    run(family, attributed_fn="logit", step_scores=[look], **kwargs)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_masks_and_embeddings_end_before_the_target(family):
    model = tiny(family)
    out = attribute(model, Request(prompt=PROMPT, target=TARGET, method="dummy"))
    prefixes = prefixes_of(model.tokenizer, out)

    found = seen(family)

    assert len(found) == len(prefixes)
    for args, prefix in zip(found, prefixes, strict=True):
        assert args.decoder_input_ids.tolist() == [list(prefix.decoder)]
        assert args.decoder_attention_mask.tolist() == [[1] * len(prefix.decoder)]
        assert args.target_ids.tolist() == [prefix.target]
        embeds = plain.embeds(model.network, prefix)
        torch.testing.assert_close(args.decoder_input_embeds[0], embeds[len(prefix.source) :])
        logits = plain.logits(model.network, prefix)
        torch.testing.assert_close(args.forward_output.logits[0, -1], logits, rtol=1e-9, atol=1e-9)
        assert args.is_attributed_fn is False
        if prefix.source:
            assert args.encoder_input_ids is not None
            assert args.encoder_input_ids.tolist() == [list(prefix.source)]
            assert args.encoder_attention_mask is not None
            assert args.encoder_attention_mask.tolist() == [[1] * len(prefix.source)]
            assert args.encoder_input_embeds is not None
            source = embeds[: len(prefix.source)]
            torch.testing.assert_close(args.encoder_input_embeds[0], source)
        else:
            assert args.encoder_input_ids is None
            assert args.encoder_input_embeds is None


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_those_of_the_prefix_alone(family):
    model = tiny(family)
    out = attribute(model, Request(prompt=PROMPT, target=TARGET, method="dummy"))
    prefix = prefixes_of(model.tokenizer, out)[1]

    output = seen(family)[1].forward_output

    decoder = torch.tensor([prefix.decoder])
    if not prefix.source:
        alone = model.network(input_ids=decoder, output_hidden_states=True)
        pairs = [(output["hidden_states"], alone.hidden_states)]
    else:
        source = torch.tensor([prefix.source])
        alone = model.network(
            input_ids=source, decoder_input_ids=decoder, output_hidden_states=True
        )
        pairs = [
            (output.decoder_hidden_states, alone.decoder_hidden_states),
            (output.encoder_hidden_states, alone.encoder_hidden_states),
        ]
    for ours, theirs in pairs:
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other.detach(), rtol=1e-9, atol=1e-9)


def test_states_of_the_other_kind_of_model_are_missing():
    decoder, both = (seen(family)[0].forward_output for family in ("gpt2", "bart"))

    assert not hasattr(decoder, "decoder_hidden_states")
    assert not hasattr(decoder, "encoder_hidden_states")
    assert not hasattr(both, "hidden_states")


def test_the_attribution_model_is_the_one_that_was_asked():
    model = face("gpt2", "dummy")
    found: list[Any] = []

    def look(attribution_model, forward_output):
        found.append(attribution_model)
        return forward_output.logits[:, -1, 0]

    register_step_function(look, "look")
    model.attribute(PROMPT, PROMPT + TARGET, show_progress=False, step_scores=["look"])

    assert all(one is model for one in found)
    assert found


def test_every_row_of_a_batch_is_shown_as_it_was_run():
    rows: list[tuple[int, bool]] = []

    def look(args: StepFunctionArgs) -> Tensor:
        rows.append((len(args.decoder_input_ids), args.is_attributed_fn))
        assert len(args.decoder_input_embeds) == len(args.target_ids) == len(args.decoder_input_ids)
        return args.decoder_input_embeds.sum((1, 2))

    out = run("gpt2", "occlusion", attributed_fn=look).attribution

    model = tiny("gpt2")
    for target, prefix in enumerate(prefixes_of(model.tokenizer, out)):
        here = plain.embeds(model.network, prefix).sum(-1)
        base = plain.looked_up(model.network, prefix, prefix.baseline).sum(-1)
        expected = here - base
        found = out.blocks["effect"].values[target][: len(expected)]
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    assert max(count for count, _ in rows) > 1
    assert all(explained for _, explained in rows)


# what is refused


def test_a_name_is_taken_once_unless_it_is_overwritten():
    register_step_function(own_probability, "mine")

    with pytest.raises(InputError, match="named 'mine' exists already"):
        register_step_function(own_probability, "mine")
    with pytest.raises(InputError, match="named 'entropy' exists already"):
        register_step_function(own_probability, "entropy")

    register_step_function(lambda args: args.forward_output.logits[:, -1, 0] * 0, "mine", {}, True)
    assert set(run("gpt2", step_scores=["mine"]).step_scores["mine"].tolist()) == {0.0}


@STYLES
def test_an_option_by_another_name_is_refused_with_the_nearest(function):
    register_step_function(function, "mine")

    with pytest.raises(UnknownNameError, match="did you mean 'power'"):
        run("gpt2", step_scores=["mine"], powr=2)


def test_an_option_without_default_must_be_given():
    register_step_function(lambda args, base: own_probability(args) * base, "mine")

    with pytest.raises(InputError, match="needs the option 'base'"):
        run("gpt2", step_scores=["mine"])
    assert run("gpt2", step_scores=["mine"], base=2).step_scores["mine"].min() > 0


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda args: args.forward_output.logits[:, -1, :], r"returned \[1, "),
        (lambda args: 0.5, "returned float"),
        (lambda args: None, "returned NoneType"),
    ],
)
def test_anything_but_one_number_for_each_row_is_refused(returned, says):
    register_step_function(returned, "mine")

    with pytest.raises(InputError, match=says):
        run("gpt2", step_scores=["mine"])


def test_what_is_no_step_function_is_refused():
    with pytest.raises(InputError, match="takes nothing it could look at"):
        register_step_function(lambda: torch.zeros(1), "mine")
    with pytest.raises(UnknownNameError, match="did you mean 'entropy'"):
        run("gpt2", attributed_fn="entrop")


def test_a_function_is_explained_by_its_own_words(capsys):
    register_step_function(own_probability, "mine")

    am_inseq.explain("mine")

    assert capsys.readouterr().out == "The probability, to a power.\n"


def either_state(forward_output, hidden_states=None, decoder_hidden_states=None) -> Tensor:
    """The size of the decoder's last state, on any kind of model."""
    states = decoder_hidden_states if hidden_states is None else hidden_states
    assert states is not None
    assert forward_output.logits.shape[1] == 1
    return states[-1][:, -1].square().sum(-1)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_states_that_a_model_does_not_have_keep_the_functions_own_default(family):
    register_step_function(either_state, "either")

    found = run(family, step_scores=("either",)).step_scores["either"]

    assert len(found) > 1
    assert all(value > 0 for value in found)


def test_states_that_a_model_does_not_have_are_refused_in_a_sentence():
    def encoded(encoder_hidden_states) -> Tensor:
        return encoder_hidden_states[-1].sum((1, 2))

    register_step_function(encoded, "encoded")

    with pytest.raises(InputError, match="encoder_hidden_states, and a decoder-only model has no"):
        run("gpt2", step_scores=("encoded",))


def test_what_merges_nothing_is_refused_before_anything_runs():
    with pytest.raises(UnknownNameError, match="aggregation function is named 'nosuch'"):
        register_step_function(own_probability, "own", aggregate_map={"spans": "nosuch"})

    assert "own" not in SCORES
