"""Which of Captum's classes run here, what they take, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

PREFIX: Final = "captum:"
TUNNEL: Final = "NoiseTunnel"
RULES: Final = (
    "gausslegendre",
    "riemann_left",
    "riemann_middle",
    "riemann_right",
    "riemann_trapezoid",
)

Kind: TypeAlias = Literal["gradient", "hooks", "layer", "masks"]


@dataclass(frozen=True, slots=True)
class Setting:
    """An option: what Captum calls it, its default and what it does.

    Attributes:
        default: Captum's, unless the description says otherwise.
        text: one sentence for the user.
        least: smallest value allowed, for whole numbers.
        among: the values allowed, for names.
        of: "attribute" or "constructor" where Captum takes it; "us" where we do something with it.
    """

    default: Any
    text: str
    least: int | None = None
    among: tuple[str, ...] = ()
    of: Literal["attribute", "constructor", "us"] = "attribute"


_BY_INPUTS: Final = Setting(
    default=True,
    text="multiply by input - baseline, rather than give the multipliers themselves.",
    of="constructor",
)
_STEPS: Final = Setting(50, "quadrature nodes.", least=1)
_RULE: Final = Setting("gausslegendre", f"quadrature rule: {', '.join(RULES)}.", among=RULES)
_ROWS: Final = Setting(None, "at most so many rows at once; None: as the budget allows.", least=1)
_DRAWS: Final = Setting(5, "noisy inputs, each at a random place on the way.", least=1)
_STDEVS: Final = Setting(0.0, "standard deviation of the noise on the embeddings.")
_SAMPLES: Final = Setting(25, "random subsets of the tokens (permutations, for Shapley).", least=1)
_PER_EVAL: Final = Setting(None, "at most so many variants at once; None: as the budget allows.", 1)
_LAYER: Final = Setting(
    None,
    "whose activation is attributed: a module's path in the network, or the number of a block of "
    "the decoder; has to be given.",
    of="us",
)
_AT_INPUT: Final = Setting(
    default=False, text="attribute what enters the module rather than what leaves it.", of="us"
)
SEED: Final = Setting(0, "seed of the random draws; the same for every target.", least=0, of="us")


def _frozen(**settings: Setting) -> Mapping[str, Setting]:
    return MappingProxyType(settings)


@dataclass(frozen=True, slots=True)
class Known:
    """A class of `captum.attr` that runs here.

    Attributes:
        kind: how it is driven: through gradients of the embeddings; through hooks on the network
            ("hooks", "layer" where the activation of a module is attributed); or by masking tokens.
        settings: its options.
        is_random: whether it draws at random.
        is_complete: whether its rows sum to score(input) - score(baseline).
        source: where it was published.
        cost: in words, for one target.
    """

    kind: Kind
    settings: Mapping[str, Setting]
    source: str
    cost: str
    is_random: bool = False
    is_complete: bool = False


_IG: Final = "https://arxiv.org/abs/1703.01365"
_SHAP: Final = "https://arxiv.org/abs/1705.07874"
_DEEPLIFT: Final = "https://arxiv.org/abs/1704.02685"
_SIMPLE: Final = "https://arxiv.org/abs/1312.6034"
_PRODUCT: Final = "https://arxiv.org/abs/1605.01713"
_SHAPLEY: Final = "https://doi.org/10.1016/j.cor.2008.04.004"
_AT_LAYER: Final = _frozen(layer=_LAYER, attribute_to_layer_input=_AT_INPUT)
_PATH: Final = _frozen(
    n_steps=_STEPS, method=_RULE, internal_batch_size=_ROWS, multiply_by_inputs=_BY_INPUTS
)
_NOISY: Final = _frozen(n_samples=_DRAWS, stdevs=_STDEVS, multiply_by_inputs=_BY_INPUTS)
_LIFT: Final = _frozen(
    multiply_by_inputs=_BY_INPUTS,
    eps=Setting(1e-10, "differences below this pass by their gradient.", of="constructor"),
)
_LIFT_SHAP: Final = _frozen(multiply_by_inputs=_BY_INPUTS)
_MASKED: Final = _frozen(perturbations_per_eval=_PER_EVAL)
_SAMPLED: Final = _frozen(n_samples=_SAMPLES, perturbations_per_eval=_PER_EVAL)

KNOWN: Final[Mapping[str, Known]] = MappingProxyType(
    {
        "IntegratedGradients": Known(
            "gradient", _PATH, _IG, "n_steps forwards and backwards a target", is_complete=True
        ),
        "Saliency": Known(
            "gradient",
            _frozen(abs=Setting(default=True, text="take absolute values.")),
            _SIMPLE,
            "1 forward, 1 backward a target",
        ),
        "InputXGradient": Known("gradient", _frozen(), _PRODUCT, "1 forward, 1 backward a target"),
        "GradientShap": Known(
            "gradient",
            _NOISY,
            _SHAP,
            "n_samples forwards and backwards a target",
            is_random=True,
            is_complete=True,
        ),
        "DeepLift": Known(
            "hooks", _LIFT, _DEEPLIFT, "2 forwards, 2 backwards a target", is_complete=True
        ),
        "DeepLiftShap": Known(
            "hooks", _LIFT_SHAP, _SHAP, "4 forwards, 4 backwards a target", is_complete=True
        ),
        "FeatureAblation": Known(
            "masks",
            _MASKED,
            "https://arxiv.org/abs/1311.2901",
            "1 forward a token, for all targets",
        ),
        "Occlusion": Known(
            "masks",
            _frozen(
                sliding_window_shapes=Setting(
                    1, "neighbouring tokens replaced at once (Captum has no default).", least=1
                ),
                strides=Setting(None, "how far the window moves; None: one token.", least=1),
                perturbations_per_eval=_PER_EVAL,
            ),
            "https://arxiv.org/abs/1311.2901",
            "1 forward a window, for all targets",
        ),
        "ShapleyValueSampling": Known(
            "masks",
            _SAMPLED,
            _SHAPLEY,
            "n_samples forwards a token and target",
            is_random=True,
            is_complete=True,
        ),
        "ShapleyValues": Known(
            "masks",
            _MASKED,
            "https://arxiv.org/abs/1705.07874",
            "2 ** tokens forwards; Captum goes through every order of at most 10 tokens",
            is_complete=True,
        ),
        "KernelShap": Known(
            "masks",
            _SAMPLED,
            _SHAP,
            "n_samples forwards a target",
            is_random=True,
            is_complete=True,
        ),
        "Lime": Known(
            "masks",
            _frozen(
                n_samples=_SAMPLES,
                perturbations_per_eval=_PER_EVAL,
                alpha=Setting(0.01, "weight of the lasso's L1 penalty.", of="us"),
                distance_mode=Setting(
                    "cosine",
                    "distance between embeddings that weighs samples: cosine or euclidean.",
                    among=("cosine", "euclidean"),
                    of="us",
                ),
                kernel_width=Setting(1.0, "width of the kernel that weighs samples.", of="us"),
            ),
            "https://arxiv.org/abs/1602.04938",
            "n_samples forwards a target",
            is_random=True,
        ),
        "LayerIntegratedGradients": Known(
            "layer", _frozen(**_AT_LAYER, **_PATH), _IG, "n_steps forwards and backwards a target"
        ),
        "LayerGradientXActivation": Known(
            "layer",
            _frozen(**_AT_LAYER, multiply_by_inputs=_BY_INPUTS),
            _PRODUCT,
            "1 forward, 1 backward a target",
        ),
        "LayerGradientShap": Known(
            "layer",
            _frozen(**_AT_LAYER, **_NOISY),
            _SHAP,
            "n_samples forwards and backwards a target, at once",
            is_random=True,
        ),
        "LayerDeepLift": Known(
            "layer",
            _frozen(**_AT_LAYER, multiply_by_inputs=_BY_INPUTS),
            _DEEPLIFT,
            "2 forwards, 2 backwards a target",
        ),
        "LayerDeepLiftShap": Known(
            "layer",
            _frozen(**_AT_LAYER, multiply_by_inputs=_BY_INPUTS),
            _SHAP,
            "4 forwards, 4 backwards a target",
        ),
    }
)
NOISE: Final = _frozen(
    nt_type=Setting(
        "smoothgrad",
        "what is taken of the noisy attributions: smoothgrad (mean), smoothgrad_sq (mean square) "
        "or vargrad (variance).",
        among=("smoothgrad", "smoothgrad_sq", "vargrad"),
    ),
    nt_samples=Setting(5, "noisy inputs.", least=1),
    nt_samples_batch_size=Setting(None, "noisy inputs handed over at once; None: one.", least=1),
    stdevs=Setting(1.0, "standard deviation of the noise on the embeddings."),
)

_RELU: Final = "its rule is for ReLU networks, and a transformer's attention has none"
_PATENTED: Final = "layer-wise relevance propagation is patented and no part of this project"
_NEURON: Final = "it explains one neuron, and a task here explains the scores of tokens"
_IMAGE: Final = "it needs the feature maps of a convolutional network"
_OWN_LOOP: Final = "it drives a language model itself, which attribute() does already"
_OTHER_LAYER: Final = (
    "of the path methods inside the network, LayerIntegratedGradients is the one that runs here"
)
_NO_METHOD: Final = "it is no method by itself but what Captum builds methods from"
REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "LRP": _PATENTED,
        "LayerLRP": _PATENTED,
        "GuidedBackprop": _RELU,
        "Deconvolution": _RELU,
        "GuidedGradCam": _IMAGE,
        "LayerGradCam": _IMAGE,
        "NeuronConductance": _NEURON,
        "NeuronDeconvolution": _NEURON,
        "NeuronDeepLift": _NEURON,
        "NeuronDeepLiftShap": _NEURON,
        "NeuronFeatureAblation": _NEURON,
        "NeuronGradient": _NEURON,
        "NeuronGradientShap": _NEURON,
        "NeuronGuidedBackprop": _NEURON,
        "NeuronIntegratedGradients": _NEURON,
        "InternalInfluence": _OTHER_LAYER,
        "LayerConductance": _OTHER_LAYER,
        "LayerActivation": "it gives activations, which explain no score",
        "LayerFeatureAblation": "it ablates single coordinates of a layer, one forward for each",
        "LayerFeaturePermutation": "it permutes among the texts of a batch, and a task is one text",
        "FeaturePermutation": "it permutes among the texts of a batch, and a task is one text",
        "DataLoaderAttribution": "it adds up over a data set, and a task is one text",
        "LLMAttribution": _OWN_LOOP,
        "LLMGradientAttribution": _OWN_LOOP,
        "RemoteLLMAttribution": _OWN_LOOP,
        "LimeBase": _NO_METHOD,
        "Attribution": _NO_METHOD,
        "GradientAttribution": _NO_METHOD,
        "PerturbationAttribution": _NO_METHOD,
        "LayerAttribution": _NO_METHOD,
        "NeuronAttribution": _NO_METHOD,
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be run.

    Attributes:
        inner: the class, without the noise tunnel.
        options: all options by name, checked.
        is_tunnel: whether Captum's noise tunnel stands around it.
    """

    inner: str
    options: Mapping[str, Any]
    is_tunnel: bool

    @property
    def known(self) -> Known:
        """How the class is driven."""
        return KNOWN[self.inner]

    def options_of(self, place: Literal["attribute", "constructor"]) -> dict[str, Any]:
        """The options that Captum takes in one place."""
        settings = settings_of(self.inner, is_tunnel=self.is_tunnel)
        return {name: self.options[name] for name, s in settings.items() if s.of == place}


def settings_of(inner: str, *, is_tunnel: bool) -> dict[str, Setting]:
    """All options of a class, with those of the noise tunnel around it.

    The tunnel's win where both have one of that name, as they do in Captum.
    """
    known = KNOWN[inner]
    chosen = {**known.settings, **(NOISE if is_tunnel else {})}
    if known.is_random or is_tunnel:
        chosen["seed"] = SEED
    return chosen


def captum_names() -> list[str]:
    """Every method name of Captum that may be asked for, sorted.

    Any of them may also stand inside `captum:NoiseTunnel(…)`, without its prefix.
    """
    names = [f"{PREFIX}{name}" for name in KNOWN]
    return sorted([*names, *(f"{PREFIX}{TUNNEL}({name})" for name in KNOWN)])
