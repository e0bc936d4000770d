"""The examples of the read-me."""

from __future__ import annotations

import html
import re
import tomllib
from pathlib import Path

import pytest
import torch

from tests.seeds.reading import example, inseq, run, texts

ROOT = Path(__file__).parents[2]
FOIL = "Can you stop the dog from crying"


@pytest.mark.slow
def test_integrated_gradients_of_a_translation(capsys):
    out = run("readme-integrated-gradients")["out"]

    shown = capsys.readouterr().out
    assert "The developer argued with the designer because her idea cannot be implemented." in shown
    assert "→ Le développeur s'est disputé avec la designer" in shown
    assert out.info["attribution_method"] == "integrated_gradients"
    assert out.info["attribution_args"] == {"n_steps": 100}
    sequence = out.sequence_attributions[0]
    count, generated = len(sequence.source), len(sequence.target) - 1
    assert sequence.source_attributions.shape[:2] == (count, generated)
    # complete: what the scores of a token miss of the difference of its probabilities
    assert sequence.step_scores["deltas"].abs().max() < 1e-4
    # "token-level aggregation is handled automatically": shares, and words find their translations
    shares = sequence.aggregate().source_attributions
    torch.testing.assert_close(shares.sum(0), torch.ones(generated))
    source, target = texts(sequence.source), texts(sequence.target)[1:]
    for word, cause in ((" développeur", " developer"), (" designer", " designer")):
        assert source[int(shares[:, target.index(word)].argmax())] == cause
    # "inside a Jupyter Notebook"
    assert "développeur" in html.unescape(out._repr_html_())


def test_contrastive_attribution(capsys):
    with pytest.warns(DeprecationWarning, match="give the texts as contrast_targets"):
        names = run("readme-contrastive")
    out, model = names["out"], names["attribution_model"]

    sequence = out.sequence_attributions[0]
    assert texts(sequence.target)[-1] == " crying →  barking"
    assert (sequence.attr_pos_start, sequence.attr_pos_end) == (7, 8)
    difference = float(sequence.step_scores["contrast_prob_diff"][0])
    logits = model.model(model.encode("Can you stop the dog from").input_ids)
    chances = logits.logits[0, -1].softmax(-1)
    barking, crying = sequence.attribution.tokens[-1].id, int(names["contrast"].input_ids[0, -1])
    assert difference == pytest.approx(float(chances[barking] - chances[crying]), abs=1e-5)
    assert difference > 0.9
    shares = sequence.aggregate().target_attributions[:7, 0]
    assert " dog" in [texts(sequence.target)[at] for at in shares.argsort().tolist()[-2:]]
    shown = capsys.readouterr().out
    assert "→ barking" in shown
    assert f"{difference:.3f}" in shown
    # the same by the words that later versions have for it
    again = model.attribute(
        "Can you stop the dog from",
        "Can you stop the dog from barking",
        attributed_fn="contrast_prob_diff",
        contrast_targets=FOIL,
        step_scores=["contrast_prob_diff"],
    ).sequence_attributions[0]
    torch.testing.assert_close(
        again.target_attributions, sequence.target_attributions, equal_nan=True
    )


def test_every_step_function_is_recorded_and_explained():
    names = re.findall(r"^- `(\w+)`", example("readme-step-functions"), re.MULTILINE)
    assert len(names) == 7
    model = inseq.load_model("demo/lm", "saliency")

    for name in names:
        contrast = {"contrast_targets": FOIL} if name.startswith("contrast") else {}
        sequence = model.attribute(
            "Can you stop the dog from",
            "Can you stop the dog from barking",
            attributed_fn=name,
            step_scores=names[:5] if not contrast else [name],
            show_progress=False,
            **contrast,
        ).sequence_attributions[0]
        scores = sequence.step_scores
        if contrast:
            continue
        assert sequence.target_attributions.nan_to_num(0.0).abs().sum() > 0 or name[:2] == "mc"
        # what the names say of each other, worked out by hand
        p = scores["probability"]
        torch.testing.assert_close(scores["crossentropy"], -p.log())
        torch.testing.assert_close(scores["perplexity"], 1 / p)
        assert 0 < float(scores["entropy"]) < 1


def test_the_package_has_the_name_and_the_extras_of_the_installation():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert f"pip install {project['name']}" in example("readme-install")
    assert {"notebook", "datasets"} <= set(project["optional-dependencies"])
