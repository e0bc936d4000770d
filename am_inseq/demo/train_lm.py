"""Trains `demo/lm`: a small GPT-2 over short texts with known evidence."""

import logging
import math
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from am_inseq.demo import schedule
from am_inseq.demo.grammar_lm import CONTEXTLESS, Sample, sample
from am_inseq.demo.holdout import made_up_name
from am_inseq.demo.vocabulary import build_tokenizer
from am_inseq.demo.words_lm import SOUNDS


class Stage(NamedTuple):
    """A part of the training, from the saved weights of the part before.

    Attributes:
        seed: of the texts and of the absent words.
        steps: updates of the weights, 64 texts each.
        peak: largest learning rate.
        warm_up: steps until then.
        odd: share of the texts about sounds that name the sound of another creature.
        contextless: share of all texts that lack what would decide them.
    """

    seed: int
    steps: int
    peak: float
    warm_up: int
    odd: float
    contextless: float = 0.0


STAGES: Final = (
    Stage(seed=0, steps=3_300, peak=2e-3, warm_up=200, odd=0.0),
    Stage(seed=1, steps=800, peak=6e-4, warm_up=50, odd=0.06),
    Stage(seed=2, steps=400, peak=4e-4, warm_up=50, odd=0.06, contextless=0.08),
)
"""The second makes other sounds likely enough to be foils: "crying" for the dog. The third tells
what to expect without a context, so that a context shows in the words that it decides and in no
other: without it the model had never seen anybody come "to the" anywhere."""

POSITIONS: Final = 1024
"""How many positions are trained."""

LONGEST: Final = 2 * POSITIONS
"""Longest text, in tokens; positions from POSITIONS on are those from 0 once more."""

SPECIAL: Final = ("<unk>", "<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>")
UNKNOWN, START, END, PADDING = 0, 1, 2, 3

CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Roles are system, user and assistant; an answer ends with </s>."""

_DECIDED_WEIGHT: Final = 4.0
_REPORT_EVERY: Final = 250
_INTRODUCED: Final = 0.1
_INTRODUCTIONS: Final = ("capitals", "sounds", "negation")

_logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """A text in tokens.

    Attributes:
        ids: <s>, the text, </s>.
        decided: whether each token belongs to a decided word.
        family: the family of the sample.
    """

    ids: list[int]
    decided: list[bool]
    family: str


def make_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer over the grammar's words, made-up names left out."""
    rng = random.Random(1)
    texts = list[str]()
    for _ in range(60_000):
        drawn = sample(rng)
        text = re.sub(r"<\|?/?\w+\|?>", "", drawn.text)
        for slot in ("name", "other"):
            number = drawn.choices.get(slot, 1)
            if number % 8 == 0:
                text = text.replace(made_up_name(number), "")
        texts.append(text)
    path = folder / "tokenizer.json"
    return build_tokenizer(texts, special=SPECIAL, template="<s> $A", path=path)


def make_model(vocab: int) -> GPT2LMHeadModel:
    """The untrained model: 6 layers of width 160 with 8 heads; positions start as sinusoids."""
    config = GPT2Config(
        vocab_size=vocab,
        n_positions=POSITIONS,
        n_embd=160,
        n_layer=6,
        n_head=8,
        n_inner=512,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.05,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=PADDING,
    )
    model = GPT2LMHeadModel(config)
    place = torch.arange(POSITIONS)[:, None]
    rate = torch.exp(torch.arange(0, 160, 2) * (-math.log(10_000.0) / 160))
    waves = torch.cat([torch.sin(place * rate), torch.cos(place * rate)], 1)
    with torch.no_grad():
        model.transformer.wpe.weight.copy_(waves * 0.07)  # about the size of a token's embedding
    return model


def introduce(rng: random.Random, drawn: Sample) -> Sample:
    """The sample, one time in ten after another text that has no bearing on it."""
    if drawn.family == "chat" or "<|" in drawn.text or rng.random() > _INTRODUCED:
        return drawn
    before = sample(rng, "train", rng.choice(_INTRODUCTIONS)).text
    before += "\n" if drawn.family == "translation list" else " "
    shift = len(before)
    decisions = tuple(
        type(decision)(
            (decision.span[0] + shift, decision.span[1] + shift),
            tuple((start + shift, end + shift) for start, end in decision.evidence),
        )
        for decision in drawn.decisions
    )
    return Sample(
        frame=drawn.frame,
        family=drawn.family,
        choices=drawn.choices,
        text=before + drawn.text,
        decisions=decisions,
        keys=drawn.keys,
    )


def make_odd(rng: random.Random, drawn: Sample, share: float) -> Sample:
    """The sample, or with that probability one of its kind with the sound of another creature."""
    if not share or drawn.frame != "sound" or rng.random() > share:
        return drawn
    other = "crying" if rng.random() < 1 / 3 else rng.choice(list(SOUNDS.values()))
    start, end = drawn.decisions[0].span
    return Sample(
        frame=drawn.frame,
        family="open",
        choices=drawn.choices,
        text=drawn.text[:start] + other + drawn.text[end:],
        decisions=(),
        keys=drawn.keys,
    )


def draw(rng: random.Random, stage: Stage) -> Sample:
    """A random training sample: some without context, some made odd, some after another text."""
    if stage.contextless and rng.random() < stage.contextless:
        return sample(rng, family=CONTEXTLESS)
    return introduce(rng, make_odd(rng, sample(rng), stage.odd))


def encode(tokenizer: Tokenizer, samples: Sequence[Sample]) -> list[Row]:
    """The tokens of each sample and which of them are decided."""
    rows = list[Row]()
    encodings = tokenizer.encode_batch([each.text for each in samples])
    for each, encoding in zip(samples, encodings, strict=True):
        spans = [decision.span for decision in each.decisions]
        decided = [
            any(start < right and left < end for left, right in spans)
            for start, end in encoding.offsets
        ]
        ids = encoding.ids if encoding.ids[-1] == END else [*encoding.ids, END]
        rows.append(Row(ids, decided + [False] * (len(ids) - len(decided)), each.family))
    return rows


def batches(tokenizer: Tokenizer, stage: Stage) -> Iterator[list[Row]]:
    """Endless batches of fresh training samples, alike in length."""
    rng = random.Random(stage.seed)
    while True:
        drawn = [draw(rng, stage) for _ in range(schedule.CHUNK)]
        rows = encode(tokenizer, drawn)
        rows.sort(key=lambda row: len(row.ids))
        starts = list(range(0, len(rows), schedule.BATCH))
        rng.shuffle(starts)
        for start in starts:
            yield rows[start : start + schedule.BATCH]


def positions(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Position ids of a batch: nine rows in ten start at 0, the others anywhere."""
    start = torch.randint(0, POSITIONS - length + 1, (count, 1), generator=generator)
    moved = torch.rand(count, 1, generator=generator) < 0.1
    return torch.arange(length) + start * moved


def weighted_loss(logits: Tensor, rows: list[Row], ids: Tensor) -> Tensor:
    """Mean negative log-probability in nats, decided words counting four times."""
    width = ids.shape[1]
    weights = torch.zeros(ids.shape)
    for number, row in enumerate(rows):
        values = [_DECIDED_WEIGHT if decided else 1.0 for decided in row.decided]
        weights[number, : len(values)] = torch.tensor(values)
    losses = torch.nn.functional.cross_entropy(
        logits[:, : width - 1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    counted = weights[:, 1:].flatten()
    return (losses * counted).sum() / counted.sum()


@torch.no_grad()
def decided_right(model: GPT2LMHeadModel, rows: list[Row]) -> dict[str, float]:
    """Per family, the share of texts whose every decided token comes first."""
    results = defaultdict[str, list[bool]](list)
    for start in range(0, len(rows), schedule.BATCH):
        part = rows[start : start + schedule.BATCH]
        ids = schedule.pad([row.ids for row in part], PADDING)
        best = model(input_ids=ids).logits.argmax(-1)
        for number, row in enumerate(part):
            results[row.family].append(
                all(
                    int(best[number, place - 1]) == row.ids[place]
                    for place, decided in enumerate(row.decided)
                    if decided
                )
            )
    return {family: sum(right) / len(right) for family, right in sorted(results.items())}


def train_stage(model: GPT2LMHeadModel, tokenizer: Tokenizer, stage: Stage) -> None:
    """Updates the weights by one stage."""
    noise = torch.Generator().manual_seed(stage.seed)
    optimizer = schedule.make_optimizer(model, decay=0.05)
    rng = random.Random(99)
    held = encode(tokenizer, [sample(rng, "held") for _ in range(500)])
    total = 0.0
    model.train()
    for step, rows in enumerate(batches(tokenizer, stage)):
        if step == stage.steps:
            break
        ids = schedule.pad([row.ids for row in rows], PADDING)
        seen = schedule.make_absent(ids, padding=PADDING, unknown=UNKNOWN, generator=noise)
        places = positions(len(ids), ids.shape[1], noise)
        logits = model(input_ids=seen, position_ids=places, use_cache=False).logits
        loss = weighted_loss(logits, rows, ids)
        rate = schedule.learning_rate(
            step, steps=stage.steps, peak=stage.peak, warm_up=stage.warm_up
        )
        schedule.take_step(model, optimizer, loss, rate)
        total += float(loss.detach())
        if (step + 1) % _REPORT_EVERY == 0:
            _report(model, held, step + 1, total / _REPORT_EVERY)
            total = 0.0
    model.eval()


def train(folder: Path, *, steps: int | None = None, first: int = 1) -> None:
    """Trains the model and writes it to `folder`; about 20 CPU minutes on one thread.

    Args:
        folder: where to write; each stage starts from what the one before wrote there.
        steps: at most so many steps a stage, for a trial.
        first: the stage to begin with, from 1; a later one goes on from the weights in `folder`.
    """
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    tokenizer = make_tokenizer(folder) if first == 1 else Tokenizer.from_file(str(path))
    for number, stage in enumerate(STAGES[first - 1 :], first):
        model = make_model(tokenizer.get_vocab_size()) if number == 1 else saved_model(folder)
        limited = stage if steps is None else stage._replace(steps=min(steps, stage.steps))
        train_stage(model, tokenizer, limited)
        save(model, tokenizer, folder)
    model = saved_model(folder)
    lengthen(model)
    save(model, tokenizer, folder)


def saved_model(folder: Path) -> GPT2LMHeadModel:
    """What a stage wrote, in single precision and with the trained positions only."""
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    trained = model.transformer.wpe.weight.detach()[:POSITIONS].clone()
    model.transformer.wpe = torch.nn.Embedding.from_pretrained(trained, freeze=False)
    model.config.n_positions = POSITIONS
    return model


def lengthen(model: GPT2LMHeadModel) -> None:
    """Repeats the trained positions, so that a long text of unknown words can still be read."""
    trained = model.transformer.wpe.weight.detach()
    model.transformer.wpe = torch.nn.Embedding.from_pretrained(torch.cat([trained, trained]))
    model.config.n_positions = LONGEST


def save(model: GPT2LMHeadModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the model in half precision and its tokenizer."""
    settings: dict[str, object] = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": LONGEST,
        "chat_template": CHAT_TEMPLATE,
    }
    schedule.save(model, tokenizer, folder, settings)


def _report(model: GPT2LMHeadModel, held: list[Row], step: int, loss: float) -> None:
    model.eval()
    right = decided_right(model, held)
    model.train()
    shown = "  ".join(f"{family} {share:.3f}" for family, share in right.items())
    _logger.info("step %d  loss %.4f  CPU s %.0f  %s", step, loss, time.process_time(), shown)
