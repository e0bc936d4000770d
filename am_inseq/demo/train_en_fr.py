"""Trains `demo/en-fr`: a small Marian model from English to French."""

import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import MarianConfig, MarianMTModel

from am_inseq.demo import schedule
from am_inseq.demo.frames_en_fr import name_of
from am_inseq.demo.grammar_en_fr import sample
from am_inseq.demo.holdout import Split
from am_inseq.demo.vocabulary import build_tokenizer

STEPS: Final = 3_600
"""Updates of the weights, 64 sentence pairs each."""

LONGEST: Final = 2048
"""Longest text, in tokens; positions are sinusoids, not weights."""

SPECIAL: Final = ("<unk>", "<pad>", "</s>")
UNKNOWN, PADDING, END = 0, 1, 2

_PEAK: Final = 1.2e-3
_WARM_UP: Final = 300
_REPORT_EVERY: Final = 250
_PAIRED: Final = 1 / 8

Row = tuple[list[int], list[int]]

_logger = logging.getLogger(__name__)


def make_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer over the grammar's words, made-up names left out."""
    rng = random.Random(1)
    texts = list[str]()
    for _ in range(60_000):
        drawn = sample(rng)
        name = name_of(drawn.choices["name"]) if "name" in drawn.choices else "\n"
        texts += (drawn.source.replace(name, ""), drawn.target.replace(name, ""))
    path = folder / "tokenizer.json"
    return build_tokenizer(texts, special=SPECIAL, template="$A </s>", path=path)


def make_model(vocab: int) -> MarianMTModel:
    """The untrained model: 3 encoder and 6 decoder layers of width 160 with 8 heads."""
    config = MarianConfig(
        vocab_size=vocab,
        d_model=160,
        encoder_layers=3,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=512,
        decoder_ffn_dim=512,
        max_position_embeddings=LONGEST // 2,
        scale_embedding=True,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="gelu",
        init_std=0.06,
        pad_token_id=PADDING,
        eos_token_id=END,
        bos_token_id=None,
        decoder_start_token_id=PADDING,
        forced_eos_token_id=None,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
    )
    model = MarianMTModel(config)
    depth = (2 * config.decoder_layers) ** -0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("out_proj.weight", "fc2.weight")):
                weight.mul_(depth)  # layer norms after the sum: a deep stack starts near identity
    return model


def texts_of(rng: random.Random, split: Split) -> tuple[str, str]:
    """A random sentence pair; in training, one time in eight two sentences in a row."""
    drawn = sample(rng, split)
    if split == "held" or rng.random() > _PAIRED:
        return drawn.source, drawn.target
    after = sample(rng, split)
    return f"{drawn.source} {after.source}", f"{drawn.target} {after.target}"


def encode(tokenizer: Tokenizer, pairs: list[tuple[str, str]]) -> list[Row]:
    """Source and target ids of each pair, </s> appended."""
    sources = tokenizer.encode_batch([pair[0] for pair in pairs])
    targets = tokenizer.encode_batch([pair[1] for pair in pairs])
    return [(one.ids, two.ids) for one, two in zip(sources, targets, strict=True)]


def batches(tokenizer: Tokenizer, seed: int, split: Split = "train") -> Iterator[list[Row]]:
    """Endless batches of fresh samples, alike in length."""
    rng = random.Random(seed)
    while True:
        rows = encode(tokenizer, [texts_of(rng, split) for _ in range(schedule.CHUNK)])
        rows.sort(key=lambda row: (len(row[0]), len(row[1])))
        starts = list(range(0, len(rows), schedule.BATCH))
        rng.shuffle(starts)
        for start in starts:
            yield rows[start : start + schedule.BATCH]


def inputs_of(rows: list[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Source ids, decoder input ids and target ids of a batch."""
    source = schedule.pad([row[0] for row in rows], PADDING)
    target = schedule.pad([row[1] for row in rows], PADDING)
    start = torch.full((len(rows), 1), PADDING)
    return source, torch.cat([start, target[:, :-1]], 1), target


@torch.no_grad()
def exact_match(model: MarianMTModel, rows: list[Row]) -> float:
    """Share of the rows whose every target token comes first, given the right prefix."""
    right = 0
    for start in range(0, len(rows), schedule.BATCH):
        source, before, target = inputs_of(rows[start : start + schedule.BATCH])
        mask = (source != PADDING).long()
        logits = model(input_ids=source, attention_mask=mask, decoder_input_ids=before).logits
        same = (logits.argmax(-1) == target) | (target == PADDING)
        right += int(same.all(1).sum())
    return right / len(rows)


def train(folder: Path, *, steps: int = STEPS) -> None:
    """Trains the model and writes it to `folder`; about 25 CPU minutes on one thread."""
    torch.manual_seed(0)
    absent = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(folder)
    model = make_model(tokenizer.get_vocab_size())
    optimizer = schedule.make_optimizer(model, decay=0.02)
    rng = random.Random(99)
    held = encode(tokenizer, [texts_of(rng, "held") for _ in range(320)])
    total = 0.0
    model.train()
    for step, rows in enumerate(batches(tokenizer, 0)):
        if step == steps:
            break
        source, before, target = inputs_of(rows)
        mask = (source != PADDING).long()
        seen = schedule.make_absent(source, padding=PADDING, unknown=UNKNOWN, generator=absent)
        logits = model(
            input_ids=seen, attention_mask=mask, decoder_input_ids=before, use_cache=False
        ).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), target.flatten(), ignore_index=PADDING
        )
        rate = schedule.learning_rate(step, steps=steps, peak=_PEAK, warm_up=_WARM_UP)
        schedule.take_step(model, optimizer, loss, rate)
        total += float(loss.detach())
        if (step + 1) % _REPORT_EVERY == 0:
            _report(model, held, step + 1, total / _REPORT_EVERY)
            total = 0.0
    model.eval()
    model.config.max_position_embeddings = LONGEST
    settings: dict[str, object] = {
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": LONGEST,
    }
    schedule.save(model, tokenizer, folder, settings)


def _report(model: MarianMTModel, held: list[Row], step: int, loss: float) -> None:
    model.eval()
    right = exact_match(model, held)
    model.train()
    spent = time.process_time()
    _logger.info("step %d  loss %.4f  held out %.3f  CPU s %.0f", step, loss, right, spent)
