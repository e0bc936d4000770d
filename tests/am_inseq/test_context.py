"""PECoRe on models: scores against inseq, against known truth, against the models' own logits."""

from __future__ import annotations

import json
import random
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from am_inseq.context.arguments import AttributeContextArgs
from am_inseq.context.files import visualize_attribute_context
from am_inseq.context.result import AttributeContextOutput
from am_inseq.context.run import attribute_context_with_model
from am_inseq.demo.grammar_lm import sample
from am_inseq.face.loading import load_model
from am_inseq.face.model import AttributionModel
from am_inseq.models.generate import generate
from tests.tiny.pecore import RELEASE_NOTES, cues, lm, run, translation

GOLDEN = Path(__file__).parents[1] / "golden"

# what inseq recorded

WRONG_THERE = {("t5", "contrast_prob_diff"), ("t5", "kl_divergence")}  # see PROVENANCE.md


def recorded() -> list[Any]:
    return [
        pytest.param(model, case, id=f"{model}-{label}")
        for model in ("gpt2", "bart", "t5")
        for label, case in json.loads((GOLDEN / "context" / f"{model}.json").read_text()).items()
        if (model, label) not in WRONG_THERE
    ]


@pytest.mark.parametrize(("name", "case"), recorded())
def test_scores_are_those_that_inseq_recorded(name, case):
    args = AttributeContextArgs.from_dict({**case["info"], "kl_direction": "inseq"})
    found = attribute_context_with_model(args, golden(name)).to_dict()
    for key in ("input_context", "output_context", "output_current"):
        assert found[key] == case[key]
        assert found[f"{key}_tokens"] == case[f"{key}_tokens"]
    torch.testing.assert_close(
        torch.tensor(found["cti_scores"]), torch.tensor(case["cti_scores"]), atol=1e-5, rtol=1e-4
    )
    assert len(found["cci_scores"]) == len(case["cci_scores"])
    for ours, theirs in zip(found["cci_scores"], case["cci_scores"], strict=True):
        for key in ("cti_idx", "cti_token", "contrast_token", "contextual_output"):
            assert ours[key] == theirs[key]
        assert ours["contextless_output"] == theirs["contextless_output"]
        assert ours["output_context_scores"] is theirs["output_context_scores"] is None
        torch.testing.assert_close(
            torch.tensor(ours["input_context_scores"]),
            torch.tensor(theirs["input_context_scores"]),
            atol=1e-6,
            rtol=1e-4,
        )


@cache
def golden(name: str) -> AttributionModel:
    return load_model(str(GOLDEN / name), "saliency")


def test_results_of_inseq_are_read_and_shown():
    found = load_attribute_context_case("gpt2", "contrast_prob_diff")
    html = visualize_attribute_context(found, show_viz=False, return_html=True)
    assert html is not None
    assert "on the" in re.sub("<[^>]+>", "", html)


def load_attribute_context_case(name: str, label: str) -> AttributeContextOutput:
    cases = json.loads((GOLDEN / "context" / f"{name}.json").read_text())
    return AttributeContextOutput.from_dict(cases[label])


# the release notes' example


def test_the_release_notes_example_finds_hospital_and_its_cue():
    found = run(**RELEASE_NOTES)
    assert found.output_current == "to the hospital. He said he was fine."
    assert [one.cti_token for one in found.cci_scores] == [" hospital"]
    assert cues(found) == ["sick"]


# construction: sentences of the demo grammar, the deciding words in a context


Decided = list[tuple[range, set[str]]]


def constructed(family: str, count: int) -> list[tuple[dict[str, Any], Decided]]:
    """Arguments; for each decided word its characters and the context's words that decide it."""
    rng = random.Random(7)  # noqa: S311
    cases: list[tuple[dict[str, Any], Decided]] = []
    while len(cases) < count:
        text = sample(rng, "held", family)
        start = text.decisions[0].span[0]
        asked: dict[str, Any] = {}
        if family == "chat":
            turn = re.match(r"<\|system\|>(.*?)<\|user\|>(.*?)<\|assistant\|>", text.text)
            if turn is None or text.text.count("<|user|>") > 1:
                continue
            first, border, current = turn.start(1), turn.end(1), turn[2]
            asked = {
                "input_template": "<|system|>{context}<|user|>{current}<|assistant|>",
                "contextless_input_current_text": "<|user|>{current}<|assistant|>",
                "decoder_input_output_separator": "",
            }
        else:
            sentences = 2 if family == "second person" else 1
            ends = [match.end() for match in re.finditer(r"\.", text.text)]
            first, border = 0, ends[sentences - 1]
            current = text.text[border:start].strip()
        decided = [
            (
                range(one.span[0] - start, one.span[1] - start),
                {text.text[slice(*span)] for span in one.evidence if span[1] <= border},
            )
            for one in text.decisions
        ]
        if not decided[0][1] or not current or "<|" in current:
            continue
        asked |= {
            "input_context_text": text.text[first:border],
            "input_current_text": current,
            "output_current_text": text.text[start:].removesuffix("</s>"),
        }
        cases.append((asked, decided))
    return cases


# what was measured, less a tenth: the share of texts whose most sensitive token was decided by the
# context, and the F1 of its cues
FLOORS = {
    "places": (0.9, 0.9),
    "negation": (0.9, 0.6),
    "copying": (0.9, 0.9),
    "second person": (0.9, 0.5),
    "chat": (0.9, 0.9),
}


@pytest.mark.parametrize("family", list(FLOORS))
def test_what_is_found_is_what_the_grammar_decided(family, capsys):
    cases = constructed(family, 20)
    sensitive = right = chosen = known = true = 0
    for asked, decided in cases:
        found = run(
            **asked,
            attribution_method="occlusion",
            attributed_fn="contrast_logits_diff",
            context_sensitivity_std_threshold=0,
            context_sensitivity_topk=1,
        )
        last = found.ranges["output_current"][found.cci_scores[0].cti_idx][1] - 1
        evidence = next((words for place, words in decided if last in place), None)
        if evidence is None:
            continue
        sensitive += 1
        seen = cues(found)
        right += sum(any(cue in word for word in evidence) for cue in seen)
        known += sum(any(cue in word for cue in seen) for word in evidence)
        chosen, true = chosen + len(seen), true + len(evidence)
    precision, recall, share = right / chosen, known / true, sensitive / len(cases)
    f1 = 2 * precision * recall / (precision + recall)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{family}: sensitive token decided {share:.2f}; cues: precision {precision:.2f}, "
            f"recall {recall:.2f}, F1 {f1:.2f}\n"
        )
    assert share >= FLOORS[family][0]
    assert f1 >= FLOORS[family][1]


# against the model's own logits


def native(model: AttributionModel, source: str, before: str, ids: list[int]) -> torch.Tensor:
    """(token, vocabulary) log-probabilities where each of `ids` is predicted, by transformers."""
    network, tokenizer = model.model, model.tokenizer
    read = tokenizer(source)["input_ids"]
    with torch.no_grad():
        if model.loaded.has_encoder:
            start = network.config.decoder_start_token_id
            begun = tokenizer(text_target=before)["input_ids"][:-1] if before else []
            decoder = [start, *begun, *ids]
            logits = network(
                input_ids=torch.tensor([read]), decoder_input_ids=torch.tensor([decoder])
            ).logits[0]
            return logits[len(begun) : len(begun) + len(ids)].log_softmax(-1)
        logits = network(torch.tensor([[*read, *ids]])).logits[0]
    return logits[len(read) - 1 : -1].log_softmax(-1)


def divergence(one: torch.Tensor, other: torch.Tensor) -> list[float]:
    return (one.exp() * (one - other)).sum(-1).tolist()


MODELS = {"demo/lm": lm, "demo/en-fr": translation}
INPUTS = {
    "demo/lm": (RELEASE_NOTES["input_context_text"], RELEASE_NOTES["input_current_text"]),
    "demo/en-fr": ("The nurse is tired.", "The developer argued with the designer."),
}


@pytest.mark.parametrize("direction", ["paper", "inseq"])
@pytest.mark.parametrize("name", list(MODELS))
def test_sensitivities_are_divergences_of_the_models_own_distributions(name, direction):
    model, (context, current) = MODELS[name](), INPUTS[name]
    found = run(
        model, input_context_text=context, input_current_text=current, kl_direction=direction
    )
    source = f"{context} {current}"
    prompt = model.tokenizer(source)["input_ids"]
    ids = generate(model.loaded, prompt, max_new_tokens=40).sequences[0]
    ids = [token for token in ids if token != model.tokenizer.eos_token_id]
    assert found.output_current_tokens == model.tokenizer.convert_ids_to_tokens(ids)
    given, bare = native(model, source, "", ids), native(model, current, "", ids)
    one, other = (given, bare) if direction == "paper" else (bare, given)
    assert found.cti_scores == pytest.approx(divergence(one, other), abs=1e-4)


def test_an_output_context_is_read_in_one_setting_only():
    model, asked = translation(), {"input_current_text": INPUTS["demo/en-fr"][1]}
    context, current = "L'infirmière est fatiguée.", "Le développeur s'est disputé."
    found = run(model, **asked, output_context_text=context, output_current_text=current)
    assert found.output_context_tokens == model.tokenizer.tokenize(context)
    whole = model.tokenizer(text_target=f"{context} {current}")["input_ids"][:-1]
    pieces = model.tokenizer.convert_ids_to_tokens(whole)
    tested = found.output_current_tokens
    assert tested is not None
    assert pieces[-len(tested) :] == tested
    ids = whole[-len(tested) :]
    source = asked["input_current_text"]
    given = native(model, source, f"{context} ", ids)
    expected = divergence(given, native(model, source, "", ids))
    assert found.cti_scores == pytest.approx(expected, abs=1e-4)
    assert found.input_context is None
    assert found.input_context_scores is None
    scores = found.output_context_scores
    assert scores is not None
    assert {len(row) for row in scores} == {len(found.output_context_tokens or ())}


@pytest.mark.parametrize("name", list(MODELS))
def test_both_steps_cost_two_forwards_and_one_run_however_many_tokens(name, monkeypatch):
    model, (context, current) = MODELS[name](), INPUTS[name]
    asked = {
        "input_context_text": context,
        "input_current_text": current,
        "attributed_fn": "contrast_logits_diff",
    }
    text = run(model, **asked).output_current
    calls: list[int] = []
    forward = model.loaded.forward
    monkeypatch.setattr(
        type(model.loaded),
        "forward",
        lambda self, *given, **named: (calls.append(1), forward(*given, **named))[1],
    )
    counts = []
    for top in (1, 4):
        calls.clear()
        found = run(
            model,
            **asked,
            output_current_text=text,
            context_sensitivity_std_threshold=None,
            context_sensitivity_topk=top,
            attribution_method="dummy",
        )
        assert len(found.cci_scores) == top
        counts.append(len(calls))
    assert counts[0] <= 3
    assert counts[1] <= 5  # tokens that both settings write need the contextless one really run


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("score", ["contrast_prob_diff", "kl_divergence", None])
def test_scores_of_one_token_do_not_depend_on_the_others(name, score):
    model, (context, current) = MODELS[name](), INPUTS[name]
    asked = {
        "input_context_text": context,
        "input_current_text": current,
        "attributed_fn": score,
        "context_sensitivity_std_threshold": None,
    }
    together = run(model, **asked)
    alone = run(model, **asked, context_sensitivity_topk=1)
    one, other = together.cci_scores[0], alone.cci_scores[0]
    assert one.cti_idx == other.cti_idx
    assert one.input_context_scores == pytest.approx(other.input_context_scores, rel=1e-3)


@pytest.mark.parametrize(
    "metric",
    [
        "kl_divergence",
        "pcxmi",
        "in_context_pvi",
        "contrast_prob",
        "contrast_logits",
        "contrast_prob_diff",
        "contrast_logits_diff",
    ],
)
def test_every_contrastive_metric_is_taken_as_inseq_takes_it(metric):
    found = run(**RELEASE_NOTES, context_sensitivity_metric=metric)
    assert found.cti_scores is not None
    assert len(found.cti_scores) == 10
    context, current = INPUTS["demo/lm"]
    ids = lm().tokenizer.convert_tokens_to_ids(found.output_current_tokens)
    with_it = native(lm(), f"{context} {current}", "", ids)
    without = native(lm(), current, "", ids)
    own = torch.arange(len(ids)), torch.tensor(ids)
    if metric == "pcxmi":
        expected = (with_it[own] - without[own]) / torch.tensor(2.0).log()
        assert found.cti_scores == pytest.approx(expected.tolist(), abs=1e-4)
    if metric == "contrast_prob":
        assert found.cti_scores == pytest.approx(with_it[own].exp().tolist(), abs=1e-4)


@pytest.mark.parametrize(
    "method", ["occlusion", "integrated_gradients", "attention", "value_zeroing", "lime"]
)
def test_every_kind_of_method_gives_one_score_for_each_context_token(method):
    found = run(**RELEASE_NOTES, attribution_method=method)
    rows = found.input_context_scores
    assert rows is not None
    assert {len(row) for row in rows} == {5}
    assert all(score >= 0 for row in rows for score in row if method != "value_zeroing")
