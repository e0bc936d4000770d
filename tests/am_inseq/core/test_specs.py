"""How methods and scores are declared, and what their options accept."""

from __future__ import annotations

import pytest
import torch

from am_inseq.core.attribution import Attribution, Block, Provenance
from am_inseq.core.specs import check_options, read_options
from am_inseq.core.tokens import Token
from am_inseq.errors import InputError, UnknownNameError


def example(task, *, n_steps: int = 50, rule: str = "left", scale: float = 1.0, flag: bool = True):
    """An example.

    Args:
        task: what to do.
        n_steps: how many steps, told
            over two lines.
        rule: which rule.
        scale: how large.
        flag: whether.

    Returns:
        nothing.
    """


def test_options_are_the_keyword_only_parameters_with_their_descriptions():
    options = read_options(example)

    assert [(o.name, o.annotation, o.default) for o in options] == [
        ("n_steps", "int", 50),
        ("rule", "str", "left"),
        ("scale", "float", 1.0),
        ("flag", "bool", True),
    ]
    assert options[0].description == "how many steps, told over two lines."
    assert options[3].description == "whether."


@pytest.mark.parametrize(
    "given",
    [{}, {"n_steps": 3}, {"rule": "right"}, {"scale": 2}, {"scale": 0.5}, {"flag": False}],
)
def test_options_of_the_right_type_are_accepted(given):
    check_options("method 'example'", read_options(example), given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n_steps": "3"}, "'n_steps' of method 'example' takes int, for example 50; '3' is str"),
        ({"n_steps": 3.5}, "takes int"),
        ({"n_steps": True}, "takes int"),
        ({"n_steps": None}, "takes int"),
        ({"rule": 3}, "takes str"),
        ({"scale": "large"}, "takes float"),
        ({"scale": True}, "takes float"),
        ({"flag": 1}, "takes bool"),
    ],
)
def test_options_of_the_wrong_type_are_refused(given, says):
    with pytest.raises(InputError, match=says):
        check_options("method 'example'", read_options(example), given)


def test_an_option_by_another_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'n_steps'"):
        check_options("method 'example'", read_options(example), {"nsteps": 3})


def test_a_name_like_no_other_lists_what_is_known():
    with pytest.raises(UnknownNameError, match="known: flag, n_steps, rule, scale"):
        check_options("method 'example'", read_options(example), {"zzzz": 3})


def attribution(values, *, tokens=2, targets=(1,)) -> Attribution:
    token = Token(1, "a", "a", "decoder", "prompt", 0, 1)
    return Attribution(
        prompt="aa",
        continuation="",
        tokens=(token,) * tokens,
        targets=targets,
        blocks={"effect": Block(values, ("target", "token"))},
        primary="effect",
        method="occlusion",
        options={},
        score="logit",
        unit="logit",
        is_signed=True,
        probabilities=(0.5,),
        step_scores={},
        provenance=Provenance("m", "cpu", "float32", is_demo=False, library="0"),
    )


def test_tables_must_fit_their_labels():
    assert attribution(torch.zeros(1, 2)).values.shape == (1, 2)
    with pytest.raises(ValueError, match="do not fit labels"):
        attribution(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="do not fit labels"):
        attribution(torch.zeros(2, 2))


def test_a_block_names_every_dimension():
    with pytest.raises(ValueError, match="2 dimensions do not fit"):
        Block(torch.zeros(1, 2), ("target",))
