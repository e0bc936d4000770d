"""What a worker makes of the fields that inseq's flags become; the model is tiny."""

from typing import Any

import pytest

from am_inseq_daemon.cli.backend import InProcess
from am_inseq_daemon.client import RequestError
from am_inseq_daemon.protocol import types as t
from am_inseq_daemon.protocol.codec import make_converter
from am_inseq_daemon.protocol.errors import ERRORS
from am_inseq_daemon.worker.host import Host
from am_inseq_daemon.worker.jobs import Job

PROMPT = "hello world the cat"
CONTEXT: dict[str, Any] = {
    "input_context_text": "hello 👋🏽 world.",
    "input_current_text": "the cat",
}


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    with InProcess() as here:
        yield here


@pytest.fixture
def attribute(backend, tiny):
    """The answer to a request about the tiny model."""

    def ask(**fields):
        params = t.AttributionComputeParams(prompt=PROMPT, model=tiny, **fields)
        return backend.attribute(params, None)

    return ask


@pytest.fixture
def context(backend, tiny):
    """The answer to a request about a context."""

    def ask(**fields):
        params = t.AttributionContextParams(**CONTEXT, model=tiny, **fields)
        return backend.context(params, None)

    return ask


def test_options_go_to_whoever_takes_them(attribute):
    found = attribute(
        target=" sat on",
        method="integrated_gradients",
        score="contrast_prob_diff",
        arguments={"n_steps": 3, "contrast_targets": f"{PROMPT} ran on"},
    )

    assert found.method == "integrated_gradients"
    assert found.options["n_steps"] == 3
    assert found.score == "contrast_prob_diff"


def test_a_generated_text_is_the_prompt_and_the_target(attribute):
    whole, bare = attribute(generated_text=f"{PROMPT} sat on"), attribute(target=" sat on")

    assert whole.continuation == bare.continuation == " sat on"
    assert whole.view == bare.view


def test_the_model_goes_on_from_a_text(attribute):
    found = attribute(generated_text=f"{PROMPT} sat", goes_on=True, max_new_tokens=2)

    assert found.continuation.startswith(" sat")
    assert len(found.view.targets) == 3


def test_positions_bound_what_is_explained(attribute):
    whole = attribute(target=" sat on the cat")
    prompt = sum(token.part != "continuation" for token in whole.tokens)

    some = attribute(target=" sat on the cat", first=prompt + 1, last=prompt + 3)

    assert [one.text for one in some.view.targets] == [one.text for one in whole.view.targets][1:3]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"generated_text": "something else"}, "does not follow the prompt"),
        ({"goes_on": True}, "nothing to go on from"),
        ({"generated_text": PROMPT, "target": " x"}, "given twice"),
        ({"arguments": {"n_step": 2}, "method": "integrated_gradients"}, "did you mean 'n_steps'"),
        ({"arguments": {"internal_batch_size": 0}, "method": "saliency"}, "at least 1"),
        (
            {
                "target": " sat",
                "contrast_target": " ran",
                "arguments": {"contrast_targets": f"{PROMPT} on"},
            },
            "given twice",
        ),
    ],
)
def test_what_does_not_go_together_is_the_callers_to_fix(attribute, fields, said):
    with pytest.raises(RequestError, match=said) as refused:
        attribute(**fields)

    assert 1100 <= refused.value.code < 1200


def test_a_context_is_attributed_with_the_numbers_of_the_library(context, tiny):
    from am_inseq import AttributeContextArgs, attribute_context

    args = AttributeContextArgs(
        **CONTEXT, model_name_or_path=tiny, context_sensitivity_topk=2, show_viz=False
    )

    ours, theirs = attribute_context(args), context(context_sensitivity_topk=2)

    assert list(theirs.cti_scores) == pytest.approx(ours.cti_scores)
    assert [one.cti_idx for one in theirs.cci_scores] == [one.cti_idx for one in ours.cci_scores]
    for one, other in zip(theirs.cci_scores, ours.cci_scores, strict=True):
        assert list(one.input_context_scores) == pytest.approx(other.input_context_scores)
    assert theirs.output_current == ours.output_current
    assert theirs.info["input_context_text"] == CONTEXT["input_context_text"]


def test_ranges_of_a_context_count_in_the_unit_of_the_connection(tiny):
    text = CONTEXT["input_context_text"]
    answers: list[Any] = []
    host = Host(tiny, "cpu", answers.append)
    params = make_converter().unstructure(t.AttributionContextParams(**CONTEXT))

    host.answer(Job(1, "attribution/context", params, "utf-32"))
    host.answer(Job(2, "attribution/context", params, "utf-16"))

    points, units = (
        one["result"]["characterRanges"]["inputContext"] for one in answers if "result" in one
    )
    encoded = text.encode("utf-16-le")
    for point, unit in zip(points, units, strict=True):
        there = encoded[2 * unit["start"] : 2 * unit["end"]].decode("utf-16-le")
        assert there == text[point["start"] : point["end"]]


def test_a_cancelled_context_stops_on_its_way(tiny):
    answers: list[Any] = []
    params = make_converter().unstructure(t.AttributionContextParams(**CONTEXT))
    job = Job(1, "attribution/context", params, "utf-32")

    def send(message):
        answers.append(message)
        if message.get("params", {}).get("value", {}).get("stage") == "attributing":
            job.token.cancel()

    Host(tiny, "cpu", send).answer(job)

    assert answers[-1]["error"]["code"] == ERRORS["RequestCancelled"].code


def test_nobody_is_asked_where_there_is_no_terminal(context):
    with pytest.raises(RequestError, match="asks on a terminal"):
        context(output_template="{context} {current}")


def test_arguments_of_a_context_are_checked_as_the_library_checks_them(context):
    with pytest.raises(RequestError, match="normalized or rescaled"):
        context(normalize_attributions=True, rescale_attributions=True)
