"""What is compared: methods, options and shapes, and the operations that each needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

STEPS: Final = {"step_scores": ["probability", "entropy"]}
RANDOM: Final = "draws differ"
APART: Final = "inseq computes something else"
LAYERS: Final = 4  # whose gradients inseq takes one after another


@dataclass(frozen=True)
class Row:
    """One comparison: a method on a shape, with P prompt and T target tokens.

    Attributes:
        shape: the model; see `models.make`.
        method: the method's name.
        options: arguments of `attribute`.
        ours: arguments that am_inseq alone is given.
        made: options that inseq takes when the method is made.
        prompt: P.
        target: T.
        contrast: whether there is a contrast target.
        forwards: forward passes over the whole sequence that the method needs.
        backwards: backward passes a target.
        goal: the ratio to reach, from the design's last section.
        apart: why the scores of the two libraries need not agree; "" where they must.
        within: how far the normalised scores may be apart.
        layers: how many blocks are attributed, all of them by one call here.
    """

    shape: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    prompt: int = 32
    target: int = 32
    contrast: bool = False
    forwards: float = 1
    backwards: float = 1
    goal: float | None = None
    apart: str = ""
    within: float = 1e-5
    layers: int | None = None

    @property
    def is_decoder_only(self) -> bool:
        """Whether the prompt stands in the decoder."""
        return self.shape.startswith("gpt2")

    @property
    def label(self) -> str:
        """Method and options, readable."""
        given = {**self.made, **self.options, **self.ours}
        score = given.pop("attributed_fn", None)
        shown = [f"{k}={'+'.join(v) if isinstance(v, list) else v}" for k, v in given.items()]
        if self.layers is not None:
            shown.append(f"{self.layers} layers")
        name = self.method if self.method != "dummy" else "step scores alone"
        return (
            name + (f" of {score}" if score else "") + (f" ({', '.join(shown)})" if shown else "")
        )


def rows_for(shape: str, *, full: bool = False) -> list[Row]:
    """The rows of one shape; reduced where inseq would take more than five minutes unless `full`."""
    if shape.startswith("t5"):
        # inseq rounds 1 - cos in float32; the goldens say by how much
        return [Row(shape, "value_zeroing", forwards=32, backwards=0, goal=20.0, within=2e-5)]
    if shape == "gpt2-small":
        return [
            Row(
                shape,
                "discretized_integrated_gradients",
                {"n_steps": 50 if full else 8},
                prompt=16,
                target=16,
                forwards=50 if full else 8,
                backwards=50 if full else 8,
            )
        ]
    decoder_only = shape.startswith("gpt2")
    gradients = 6.0 if decoder_only else 3.0
    steps = 50 if full else 4
    samples = 50 if full else 16
    some = 16 if decoder_only or full else 8
    rows = [
        Row(shape, "saliency", goal=gradients),
        Row(shape, "input_x_gradient", goal=gradients),
        Row(
            shape,
            "saliency",
            {"attributed_fn": "contrast_prob_diff"},
            contrast=True,
            goal=gradients,
        ),
        Row(shape, "saliency", STEPS, goal=8.0 if decoder_only else 3.0),
        Row(
            shape,
            "integrated_gradients",
            {"n_steps": steps},
            forwards=steps,
            backwards=steps,
            goal=3.0,
        ),
        Row(shape, "gradient_shap", forwards=5, backwards=5, goal=2.0, apart=RANDOM),
        Row(shape, "deeplift", forwards=2, goal=3.0, apart=APART),
        Row(
            shape,
            "sequential_integrated_gradients",
            {"n_steps": steps},
            prompt=some,
            target=some,
            forwards=steps * 2 * some,
            backwards=steps * 0.75 * some,
            goal=4.0,
        ),
        Row(
            shape,
            "sequential_integrated_gradients",
            {"n_steps": steps},
            {"only_totals": True},
            prompt=some,
            target=some,
            forwards=some,  # half of each, as tokens before the one that moves stay
            backwards=0,
            goal=20.0,
            apart="exact; inseq's is a quadrature",
        ),
        Row(shape, "occlusion", prompt=16, target=16, forwards=16, backwards=0, goal=20.0),
        Row(
            shape,
            "lime",
            {"n_samples": samples},
            prompt=16,
            target=16,
            forwards=samples,
            backwards=0,
            goal=20.0,
            apart=APART,
        ),
        Row(
            shape,
            "reagent",
            made={"max_probe_steps": 3000 if full else 5, "num_probes": 16 if full else 4},
            prompt=16,
            target=16,
            forwards=5 * 4 * 17,
            backwards=0,
            apart=f"{RANDOM}; inseq downloads a tagger",
        ),
        Row(shape, "attention", backwards=0, goal=1.0),
        Row(shape, "dummy", STEPS, backwards=0, goal=20.0),
    ]
    if decoder_only:
        block = "transformer.h.5"
        rows += [
            Row(
                shape,
                "layer_gradient_x_activation",
                made={"target_layer": block},
                backwards=0.5,
                goal=3.0,
            ),
            Row(
                shape,
                "layer_gradient_x_activation",
                prompt=16,
                target=16,
                goal=12.0,
                apart="inseq gives one layer",
                layers=12 if full else LAYERS,
            ),
            Row(
                shape,
                "layer_integrated_gradients",
                {"n_steps": steps},
                made={"target_layer": block},
                forwards=steps,
                backwards=steps * 0.5,
                goal=3.0,
                apart="inseq gives zeros",
            ),
            Row(
                shape, "layer_deeplift", made={"target_layer": block}, forwards=2, backwards=0.5,
                goal=3.0, apart=APART,
            ),
        ]  # fmt: skip
    return rows


def needed_operations(row: Row, config: dict[str, Any]) -> float:
    """Floating point operations that the method needs at least."""
    p, t = row.prompt, row.target
    if row.is_decoder_only:
        width, layers, vocabulary = config["n_embd"], config["n_layer"], config["vocab_size"]
        body = 12 * layers * width**2
        forward = 2 * body * (p + t)
        backward = 2 * body * sum(p + i for i in range(t))
    else:
        width, vocabulary = config["d_model"], config["vocab_size"]
        layers = config.get("decoder_layers") or config["num_layers"]
        encoder, decoder = 12 * layers * width**2, 16 * layers * width**2
        forward = 2 * (encoder * (p + 1) + decoder * (t + 1))
        backward = 2 * sum(encoder * (p + 1) + decoder * (i + 1) for i in range(t + 1))
    head = 2 * width * vocabulary * t
    backwards = row.backwards * (backward + head) if row.backwards else 0
    return row.forwards * (forward + head) + backwards
