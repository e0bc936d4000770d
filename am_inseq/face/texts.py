"""What an `AttributionModel` does with texts, ids and embeddings, under inseq's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from am_inseq.core.tokens import Side, Token
from am_inseq.errors import InputError, UnsupportedError
from am_inseq.face.inputs import Chat, prompts_of, texts_of
from am_inseq.models.generate import generate, written_out
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.load import pick_device
from am_inseq.models.packed import is_packed
from am_inseq.models.sequence import baseline_id, start_id
from am_inseq.models.text import continuation, encode, special_ids
from am_inseq.prepare import Prompt, read
from am_inseq.request import Request


@dataclass(frozen=True, slots=True, eq=False)
class BatchEncoding:
    """Texts as ids, padded on the right.

    Attributes:
        input_ids: (text, token) ids.
        attention_mask: (text, token) 1 for tokens, 0 for padding.
        input_tokens: for each text its tokens as the vocabulary spells them, without padding.
        baseline_ids: (text, token) ids that stand for "no information", or None.
    """

    input_ids: Tensor
    attention_mask: Tensor
    input_tokens: list[list[str]]
    baseline_ids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    def rows(self) -> list[list[int]]:
        """The ids of each text without padding."""
        pairs = zip(self.input_ids, self.attention_mask, strict=True)
        return [ids[mask.bool()].tolist() for ids, mask in pairs]


class TextMembers:
    """The part of `AttributionModel` that needs no attribution."""

    loaded: HuggingFaceModel
    model: Any
    tokenizer: Any

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self.loaded.device

    @device.setter
    def device(self, name: str) -> None:
        move(self.loaded, name)

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether an encoder reads the prompt."""
        return self.loaded.has_encoder

    @property
    def info(self) -> dict[str, Any]:
        """What the model and its tokenizer are, under inseq's keys."""
        return {
            "model_name": self.loaded.name,
            "model_class": type(self.model).__name__,
            "tokenizer_name": self.tokenizer.name_or_path,
            "tokenizer_class": type(self.tokenizer).__name__,
        }

    @property
    def special_tokens(self) -> list[str]:
        """Tokens that stand for no text."""
        return self.tokenizer.convert_ids_to_tokens(self.special_tokens_ids)

    @property
    def special_tokens_ids(self) -> list[int]:
        """Their ids, ascending."""
        return sorted(special_ids(self.tokenizer))

    @property
    def vocabulary_embeddings(self) -> Tensor:
        """(vocabulary, hidden) the weights of the embedding layer."""
        return self.get_embedding_layer().weight

    def get_embedding_layer(self) -> Any:
        """The module that looks embeddings up."""
        return self.model.get_input_embeddings()

    def get_encoder(self) -> nn.Module:
        """The encoder.

        Raises:
            UnsupportedError: a decoder-only model has none.
        """
        if not self.loaded.has_encoder:
            raise UnsupportedError(f"{self.loaded.name} is a decoder-only model: it has no encoder")
        return self.model.get_encoder()

    def get_decoder(self) -> nn.Module:
        """The decoder, without the head."""
        return self.model.get_decoder()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward pass."""
        return self.model(*args, **kwargs)

    def generate(
        self,
        inputs: str | Chat | Sequence[str | Chat] | BatchEncoding,
        return_generation_output: bool = False,
        skip_special_tokens: bool | None = None,
        output_generated_only: bool = False,
        batch_size: int | None = None,
        **generation_args: Any,
    ) -> Any:
        """What the model writes for each input; a decoder-only model's texts begin with theirs.

        Args:
            inputs: texts, chats or what `encode` gave.
            return_generation_output: give a list of ([texts], what transformers returned) instead.
            skip_special_tokens: leave special tokens out of the generated text; None: yes.
            output_generated_only: leave the input out of a decoder-only model's texts.
            batch_size: taken for inseq's sake; every input is a batch of its own.
            generation_args: generation arguments of transformers, and `seed`.

        Returns:
            a text for every returned sequence.
        """
        del batch_size
        skip = skip_special_tokens is not False
        options, most = self.generation(generation_args)
        outputs: list[tuple[list[str], Any]] = []
        for text, ids in self._prompts(inputs):
            with self.loaded.lock:
                written = generate(self.loaded, ids, max_new_tokens=most, options=options)
            before = "" if self.loaded.has_encoder or output_generated_only else text
            texts = [before + self._continued(ids, row, skip=skip) for row in written.sequences]
            outputs.append((texts, written.output))
        if return_generation_output:
            return outputs
        return [text for texts, _ in outputs for text in texts]

    def _prompts(self, inputs: Any) -> list[tuple[str, list[int]]]:
        """Text and ids of each input."""
        if isinstance(inputs, BatchEncoding):
            return [(self.decode(row)[0], row) for row in inputs.rows()]
        made = [self.read(one) for one in prompts_of("inputs", inputs)]
        return [(prompt.text, prompt.ids) for prompt in made]

    def _continued(self, before: Sequence[int], ids: Sequence[int], *, skip: bool) -> str:
        """The text of ids as it follows those before it, in a decoder-only model."""
        both = [*before, *ids]
        if self.loaded.has_encoder:
            return self.decode(ids, skip_special_tokens=skip)[0]
        if skip:
            return continuation(self.tokenizer, before, ids)[0]
        head, whole = (self.decode(row, skip_special_tokens=False)[0] for row in (before, both))
        return whole.removeprefix(head)

    def read(self, given: str | Chat, *, special_tokens: bool = True) -> Prompt:
        """A text or chat as the model reads it."""
        is_text = isinstance(given, str)
        return read(
            self.loaded,
            Request(
                prompt=given if is_text else "",
                messages=None if is_text else given,
                from_nothing=True,
                special_tokens=special_tokens,
            ),
        )

    def generation(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Generation options and the largest number of new tokens, the model's own by default."""
        config = self.model.generation_config
        options: dict[str, Any] = {
            "do_sample": bool(config.do_sample),
            "num_beams": config.num_beams or 1,
            **written_out(given),
        }
        for of_the_wrapper in ("skip_special_tokens", "output_generated_only"):
            options.pop(of_the_wrapper, None)
        fallback = options.get("max_length") or (256 if self.loaded.has_encoder else 24)
        most = options.pop("max_new_tokens", None)
        return options, int((config.max_new_tokens or fallback) if most is None else most)

    def output2logits(self, forward_output: Any) -> Tensor:
        """(batch, vocab) logits of the next token, of what a step function is shown."""
        logits: Tensor = forward_output.logits
        return logits[:, -1]

    def encode(
        self,
        texts: str | Sequence[str],
        as_targets: bool = False,
        return_baseline: bool = False,
        include_eos_baseline: bool = False,
        add_bos_token: bool = True,
        add_special_tokens: bool = True,
    ) -> BatchEncoding:
        """Texts as ids.

        Args:
            texts: one or several.
            as_targets: as what an encoder-decoder writes.
            return_baseline: give the baseline's ids too.
            include_eos_baseline: let the baseline replace end tokens too.
            add_bos_token: put the decoder's start token before targets.
            add_special_tokens: with the tokenizer's special tokens.

        Raises:
            InputError: targets of a decoder-only model, which has but one side.
        """
        if as_targets and not self.loaded.has_encoder:
            raise InputError(
                "a decoder-only model reads targets as it reads prompts; encode them without "
                "as_targets"
            )
        side: Side = "encoder" if self.loaded.has_encoder and not as_targets else "decoder"
        read_texts: list[Sequence[Token]] = [
            encode(self.tokenizer, text, side=side, as_target=as_targets, framed=add_special_tokens)
            for text in texts_of("texts", texts)
        ]
        rows = [[token.id for token in tokens] for tokens in read_texts]
        begun = as_targets and add_bos_token
        if begun:
            rows = [[start_id(self.loaded), *row] for row in rows]
        ids, mask = self._padded(rows)
        baseline = None
        if return_baseline:
            kept = mask == 0 if include_eos_baseline else (mask == 0) | self._is_end(ids)
            kept[:, 0] |= begun
            baseline = torch.where(kept, ids, baseline_id(self.loaded))
        pieces: list[list[str]] = [self.tokenizer.convert_ids_to_tokens(row) for row in rows]
        return BatchEncoding(ids, mask, pieces, baseline)

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        named = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        padding = next((one for one in named if one is not None), 0)
        longest = max(map(len, rows))
        full = [[*row, *[padding] * (longest - len(row))] for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        device = self.model.device
        return torch.tensor(full, device=device), torch.tensor(mask, device=device)

    def _is_end(self, ids: Tensor) -> Tensor:
        end = self.tokenizer.eos_token_id
        return torch.zeros_like(ids, dtype=torch.bool) if end is None else ids == end

    def decode(self, ids: Any, skip_special_tokens: bool = True) -> list[str]:
        """The texts of one or several rows of ids."""
        plain: Any = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        rows = [plain] if not plain or isinstance(plain[0], int) else plain
        return [
            self.tokenizer.decode(
                list(row),
                skip_special_tokens=skip_special_tokens,
                clean_up_tokenization_spaces=False,
            )
            for row in rows
        ]

    def embed(
        self,
        inputs: str | Sequence[str] | BatchEncoding | Tensor,
        as_targets: bool = False,
        add_special_tokens: bool = True,
    ) -> Tensor:
        """(text, token, hidden) embeddings of texts or ids, as they enter the network."""
        if isinstance(inputs, Tensor):
            return self.embed_ids(inputs, as_targets)
        if not isinstance(inputs, BatchEncoding):
            inputs = self.encode(inputs, as_targets, add_special_tokens=add_special_tokens)
        return self.embed_ids(inputs.input_ids, as_targets)

    def embed_ids(self, ids: Tensor, as_targets: bool = False) -> Tensor:
        """(…, hidden) embeddings of ids, scaled as the network scales them."""
        side: Side = "encoder" if self.loaded.has_encoder and not as_targets else "decoder"
        return self.loaded.embed(ids.flatten(), side).unflatten(0, ids.shape)

    def convert_ids_to_tokens(
        self, ids: Any, skip_special_tokens: bool = True, decode_tokens: bool = False
    ) -> Any:
        """One row of ids, or several, as tokens; as readable text with `decode_tokens`."""
        plain: Any = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        if plain and not isinstance(plain[0], int):
            return [
                self.convert_ids_to_tokens(row, skip_special_tokens, decode_tokens) for row in plain
            ]
        if skip_special_tokens:
            hidden = special_ids(self.tokenizer)
            plain = [one for one in plain if one not in hidden]
        if decode_tokens:
            return [self.decode([one], skip_special_tokens=False)[0] for one in plain]
        return self.tokenizer.convert_ids_to_tokens(plain)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """One row of tokens, or several, as ids."""
        if tokens and not isinstance(tokens, str) and not isinstance(tokens[0], str):
            return [self.convert_tokens_to_ids(row) for row in tokens]
        return self.tokenizer.convert_tokens_to_ids(tokens)

    def convert_tokens_to_string(
        self, tokens: Any, skip_special_tokens: bool = True, as_targets: bool = False
    ) -> Any:
        """One row of tokens, or several, as text."""
        if tokens and not isinstance(tokens[0], str):
            return [
                self.convert_tokens_to_string(row, skip_special_tokens, as_targets)
                for row in tokens
            ]
        return self.decode(self.convert_tokens_to_ids(list(tokens)), skip_special_tokens)[0]

    def convert_string_to_tokens(
        self, text: Any, skip_special_tokens: bool = True, as_targets: bool = False
    ) -> Any:
        """A text, or several, as tokens."""
        if not isinstance(text, str):
            return [
                self.convert_string_to_tokens(one, skip_special_tokens, as_targets) for one in text
            ]
        batch = self.encode(text, as_targets, add_bos_token=not skip_special_tokens)
        return self.convert_ids_to_tokens(batch.rows()[0], skip_special_tokens)

    def clean_tokens(
        self, tokens: Any, skip_special_tokens: bool = False, as_targets: bool = False
    ) -> Any:
        """One row of tokens, or several, each as readable text."""
        if tokens and not isinstance(tokens[0], str):
            return [self.clean_tokens(row, skip_special_tokens, as_targets) for row in tokens]
        ids: list[int] = self.convert_tokens_to_ids(list(tokens))
        return self.convert_ids_to_tokens(ids, skip_special_tokens, decode_tokens=True)


def move(loaded: HuggingFaceModel, name: str | torch.device) -> None:
    """Moves a model to another device.

    Raises:
        UnknownNameError: a device that does not exist.
        UnsupportedError: it cannot be used here, or the model is quantised or on several devices.
    """
    place = pick_device(name)
    if stays(loaded):
        raise UnsupportedError(
            f"{loaded.name} is quantised or spread over several devices and stays where it is; "
            "load it again with another device_map"
        )
    with loaded.lock:
        loaded.network.to(place)


def stays(loaded: HuggingFaceModel) -> bool:
    """Whether a model cannot be moved: packed in few bits, or spread over several devices."""
    spread = len(set((getattr(loaded.network, "hf_device_map", None) or {}).values())) > 1
    return spread or is_packed(loaded.network)
