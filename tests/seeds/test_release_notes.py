"""The examples of the release notes."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
import torch

from am_inseq.errors import InputError
from tests.seeds.reading import example, inseq, run, substituted, texts


def template(printed: str) -> str:
    """A printed result with its numbers blanked and its spacing evened out."""
    return re.sub(r"\d+\.\d{3}", "N", " ".join(printed.split()))


@pytest.mark.slow
def test_attribute_context_prints_the_result_of_the_notes(bash):
    shown = bash(substituted("release-notes-attribute-context"))

    # word for word, but for the numbers; the demo model ends its sentence
    expected = template(example("release-notes-attribute-context-printed"))
    assert template(shown) == expected.replace("he was fine", "he was fine.")
    for limit, score in (
        (r"CTI > ([\d.]+)\)", r"\{hospital\}\(([\d.]+)\)"),
        (r"CCI > ([\d.]+)\)", r"\[sick\]\(([\d.]+)\)"),
    ):
        found = [re.search(pattern, shown) for pattern in (limit, score)]
        least, value = (float(one[1]) for one in found if one)
        assert value > least > 0


def test_value_zeroing_of_cross_attention_alone(capsys):
    out = run("release-notes-value-zeroing")["out"]

    sequence = out.sequence_attributions[0]
    layers = sequence.source_attributions.shape[2]
    assert sequence.source_attributions.shape == (len(sequence.source), len(sequence.target) - 1, 6)
    # "keeping the value vectors of the self-attention … unaltered"
    for name in ("encoder_self_scores", "decoder_self_scores"):
        assert sequence.sequence_scores[name].nan_to_num(0.0).abs().max() == 0
    # "Only the output of" one layer "is shown"; the encoder, which has three, is passed over
    shown = out.aggregate(select_idx=4).sequence_attributions[0]
    layer = sequence.source_attributions[..., 4]
    torch.testing.assert_close(shown.source_attributions, layer / layer.sum(0))
    assert shown.sequence_scores["encoder_self_scores"].shape[2] < layers
    share = f"{shown.source_attributions[0, 0]:.1%}"
    assert share in capsys.readouterr().out
    with pytest.raises(InputError, match=r"there is no 6; there are 6, 0 to 5"):
        out.show(select_idx=6)


@pytest.mark.slow
def test_reagent_with_the_notes_options(capsys):
    out = run("release-notes-reagent")["out"]

    sequence = out.sequence_attributions[0]
    options = {
        "keep_top_n": 5,
        "stopping_condition_top_k": 3,
        "replacing_ratio": 0.3,
        "max_probe_steps": 3000,
        "num_probes": 8,
    }
    assert out.info["attribution_args"] == options
    assert "".join(texts(sequence.source)).endswith("Super Mario Land is a game that developed by")
    weights = sequence.target_attributions.nan_to_num(0.0)[..., 0]
    torch.testing.assert_close(weights.sum(0), torch.ones(weights.shape[1]))
    assert "Super Mario Land" in capsys.readouterr().out


def test_explain_says_what_saliency_is_and_where_it_comes_from(capsys):
    name = re.search(r'explain\("(\w+)"\)', example("release-notes-explain"))
    assert name is not None

    inseq.explain(name[1])

    printed = capsys.readouterr().out
    assert "gradient of the score" in printed
    assert "Reference: https://" in printed


def test_attention_by_default_is_the_mean_of_all_weights():
    names = run("release-notes-attention")

    sequence = names["out"].sequence_attributions[0]
    count, generated = len(sequence.source), len(sequence.target) - 1
    # [source, generated, layers, heads]; aggregated afterwards since inseq 0.5
    assert sequence.source_attributions.shape == (count, generated, 6, 8)
    torch.testing.assert_close(sequence.source_attributions.sum(0), torch.ones(generated, 6, 8))
    flat = names["out"].aggregate().sequence_attributions[0].source_attributions
    torch.testing.assert_close(flat, sequence.source_attributions.mean((2, 3)))


def test_attention_of_chosen_heads_and_layers():
    every = run("release-notes-attention")["out"].sequence_attributions[0].source_attributions

    chosen = run("release-notes-attention-advanced")["out"].sequence_attributions[0]

    # "maximum attention weights of heads 0, 2, 5 and 7 after averaging … across the first 5 layers"
    expected = every[:, :, :5].mean(2)[..., [0, 2, 5, 7]].amax(-1)
    torch.testing.assert_close(chosen.source_attributions, expected)


def test_one_gzipped_file_for_each_sequence(tmp_path):
    out = run("release-notes-save")["out"]

    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out_0.json.gz", "out_1.json.gz"]
    for index, sequence in enumerate(out.sequence_attributions):
        path = tmp_path / f"out_{index}.json.gz"
        assert path.read_bytes()[:2] == b"\x1f\x8b"
        loaded = inseq.FeatureAttributionOutput.load(path, decompress=True)
        again = loaded.sequence_attributions[0]
        assert texts(again.target) == texts(sequence.target)
        assert torch.equal(again.source_attributions, sequence.source_attributions)


def test_dataframes_have_the_notes_shape():
    names = run("release-notes-pandas")

    out, shown = names["out"], names["out"].aggregate()
    assert len(out.sequence_attributions) == len(names["dfs"]) == 2
    # rows and columns of the last list: "step scores ids as rows and generated target tokens …"
    for sequence, frame in zip(out.sequence_attributions, names["dfs"], strict=True):
        assert list(frame.index) == ["probability", "entropy"]
        assert [name[-1] for name in frame.columns] == texts(sequence.target)[1:]
        for row in frame.index:
            assert list(frame.loc[row]) == pytest.approx(sequence.step_scores[row].tolist())
    for side in ("source", "target"):
        for sequence, found in zip(
            shown.sequence_attributions, out.get_scores_dicts(), strict=True
        ):
            frame = pd.DataFrame(found[f"{side}_attributions"])
            scores = getattr(sequence, f"{side}_attributions")
            assert frame.shape == tuple(scores.shape)
            same = torch.tensor(frame.to_numpy(dtype="float32"))
            torch.testing.assert_close(same, scores, equal_nan=True)


def test_contrasts_of_another_length_are_aligned_from_the_right():
    model = inseq.load_model("demo/lm", "saliency")

    out = model.attribute(
        "George was sick yesterday. His colleagues asked him to come",
        "George was sick yesterday. His colleagues asked him to come to the hospital",
        attributed_fn="contrast_prob_diff",
        contrast_targets="His colleagues asked him to come to the hospital",
        step_scores=[
            "contrast_prob",
            "probability",
            "pcxmi",
            "kl_divergence",
            "contrast_prob_diff",
        ],
    )

    sequence = out.sequence_attributions[0]
    assert texts(sequence.target)[-1] == " hospital"
    scores = {name: float(values[-1]) for name, values in sequence.step_scores.items()}
    # without "sick" the hospital is less likely
    assert scores["probability"] > 0.9 > scores["contrast_prob"]
    difference = scores["probability"] - scores["contrast_prob"]
    assert scores["contrast_prob_diff"] == pytest.approx(difference, abs=1e-5)
    ratio = math.log2(scores["probability"] / scores["contrast_prob"])
    assert scores["pcxmi"] == pytest.approx(-ratio, abs=1e-3)  # inseq's sign
    assert scores["kl_divergence"] > 0


@pytest.mark.slow
def test_an_eight_bit_model_is_attributed(capsys):
    short = ("load_in_8bit=True", "quantization_config=BitsAndBytesConfig(load_in_8bit=True)")
    named = ("import AutoModelForCausalLM", "import AutoModelForCausalLM, BitsAndBytesConfig")

    out = run("release-notes-int8", short, named)["out"]

    sequence = out.sequence_attributions[0]
    assert 0 < sequence.target_attributions.shape[1] <= 20
    assert sequence.target_attributions.nan_to_num(0.0).abs().sum() > 0
    assert "Hello world, this is the Inseq" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["occlusion", "lime", "sequential_integrated_gradients"])
def test_methods_of_the_notes_find_the_word_that_decides(name):
    model = inseq.load_model("demo/lm", name)

    out = model.attribute(
        "George was sick yesterday. His colleagues asked him to come",
        "George was sick yesterday. His colleagues asked him to come to the hospital",
    )

    sequence = out.sequence_attributions[0]
    shares = out.aggregate().sequence_attributions[0].target_attributions[:, -1].nan_to_num(0.0)
    assert " sick" in [texts(sequence.target)[at] for at in shares.argsort().tolist()[-2:]]
