"""One sequence to attribute: its tokens, its targets and what stands for "no information"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from am_inseq.core.tokens import Token
from am_inseq.errors import InputError, TargetError, TextTooLongError, UnsupportedError
from am_inseq.models.huggingface import HuggingFaceModel
from am_inseq.models.languages import check_target_language, target_language
from am_inseq.models.text import continuation, encode

_RELATIVE = frozenset({"t5", "mt5", "umt5", "longt5", "switch_transformers", "bloom", "mpt"})
_APART = (
    "prompt and target are tokenised apart, because together their border falls inside a token; "
    "if a space belongs between them, begin the target with it"
)
_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Tokens in the order of the token axis: encoder first, then decoder.

    Attributes:
        prompt: the text that was given.
        continuation: the text of the targets.
        tokens: every token the model reads, and the last target.
        encoder: how many of them the encoder reads.
        targets: positions of the tokens that may be explained.
    """

    prompt: str
    continuation: str
    tokens: tuple[Token, ...]
    encoder: int
    targets: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """Vocabulary ids."""
        return tuple(token.id for token in self.tokens)


def context_limit(model: HuggingFaceModel) -> int | None:
    """How many tokens each side of the model can read; None where nothing limits it."""
    config = model.network.config
    if config.model_type in _RELATIVE:
        return None
    text = getattr(config, "get_text_config", lambda: config)()
    found = (getattr(text, name, None) for name in _LIMITS)
    return next((int(limit) for limit in found if isinstance(limit, int) and limit > 0), None)


def read_prompt(model: HuggingFaceModel, prompt: str, *, framed: bool = True) -> tuple[Token, ...]:
    """The prompt as the model reads it.

    Args:
        model: the model.
        prompt: the text.
        framed: with the special tokens that the tokenizer puts around a text.

    Raises:
        InputError: there is nothing to read.
        TextTooLongError: it leaves no room for a single target.
    """
    if not prompt.strip():
        raise InputError("the text is empty; select or type a prompt first")
    side = "encoder" if model.has_encoder else "decoder"
    tokens = encode(model.tokenizer, prompt, side=side, framed=framed)
    limit = context_limit(model)
    room = 0 if model.has_encoder else 1
    if limit is not None and len(tokens) + room > limit:
        raise TextTooLongError(len(tokens), limit - room, "prompt")
    if not tokens:
        raise InputError("the model's tokenizer finds no token in this text")
    return tokens


def read_nothing(model: HuggingFaceModel) -> tuple[Token, ...]:
    """What a decoder-only model reads before a text that follows no prompt: its start token.

    Raises:
        InputError: the model has an encoder, which must read something, or no start token.
    """
    if model.has_encoder:
        raise InputError("the text is empty; an encoder-decoder model needs a text to read")
    named = (model.tokenizer.bos_token_id, getattr(model.network.config, "bos_token_id", None))
    start = next((int(name) for name in named if isinstance(name, int)), None)
    if start is None:
        raise InputError(
            "the text is empty and this model has no start token that could stand for it; give a "
            "prompt of at least one token"
        )
    return (_special(model, start),)


def room_for_continuation(model: HuggingFaceModel, prompt: Sequence[Token]) -> int | None:
    """How many tokens may follow; None where nothing limits it."""
    limit = context_limit(model)
    if limit is None:
        return None
    return limit - 1 if model.has_encoder else limit - len(prompt)


def target_ids(
    model: HuggingFaceModel,
    prompt: str,
    read: Sequence[Token],
    text: str,
    *,
    framed: bool = True,
) -> tuple[list[int], tuple[str, ...]]:
    """The ids of a forced continuation, and what the user should know about them.

    A decoder-only model's prompt and continuation are tokenised together where that leaves the
    prompt's tokens as they are, else apart, with a warning.

    Args:
        model: the model.
        prompt: the text before it.
        read: that text's tokens.
        text: the continuation.
        framed: with the special tokens that the tokenizer puts around a text.

    Raises:
        TargetError: it has no token, or repeats the prompt.
    """
    if not text:
        raise TargetError("the target is empty; give the text whose tokens are to be explained")
    if model.has_encoder:
        return [token.id for token in _target_tokens(model, text, framed=framed)], ()
    if len(prompt.split()) > 1 and text.startswith(prompt):
        raise TargetError(
            "the target repeats the prompt; give only the text that follows the prompt, with the "
            "space that stands between them"
        )
    before = [token.id for token in read]
    whole = encode(model.tokenizer, prompt + text, side="decoder", framed=framed)
    ids = [token.id for token in end_trimmed(model, whole)]
    if ids[: len(before)] == before and len(ids) > len(before):
        return ids[len(before) :], ()
    alone: list[int] = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    if not alone:
        raise TargetError("the model's tokenizer finds no token in the target")
    return list(alone), (_APART,) if prompt else ()


def end_trimmed(model: HuggingFaceModel, tokens: Sequence[Token]) -> Sequence[Token]:
    """Without the end token that a tokenizer appends; one that was written stays."""
    if not tokens or tokens[-1].part != "special":
        return tokens
    return tokens[:-1] if tokens[-1].id == model.tokenizer.eos_token_id else tokens


def _target_tokens(model: HuggingFaceModel, text: str, *, framed: bool) -> tuple[Token, ...]:
    """The tokens of an encoder-decoder's output, without what its decoder starts with.

    Raises:
        InputError: the tokenizer was not told which language the text is in.
    """
    check_target_language(model.tokenizer)
    language = target_language(model.tokenizer)
    tokens = encode(model.tokenizer, text, side="decoder", as_target=True, framed=framed)
    if language is None or language.leads or tokens[-1].id != language.id:
        return tokens
    return tokens[:-1]


def prefix_ids(
    model: HuggingFaceModel, prompt: str, read: Sequence[Token], text: str, *, framed: bool = True
) -> list[int]:
    """The ids of a text that the continuation is to begin with; see `target_ids`."""
    if not model.has_encoder:
        return target_ids(model, prompt, read, text, framed=framed)[0]
    tokens = _target_tokens(model, text, framed=framed)
    ids = [token.id for token in end_trimmed(model, tokens)]
    if not ids:
        raise TargetError("the model's tokenizer finds no token in the target prefix")
    return ids


def compose(
    model: HuggingFaceModel, prompt: str, read: tuple[Token, ...], follow: Sequence[int]
) -> TokenSequence:
    """The whole sequence: the prompt, then the ids that follow it.

    Raises:
        TargetError: nothing follows.
        TextTooLongError: more follows than the model can read.
    """
    if not follow:
        raise TargetError("the model generated nothing; raise max_new_tokens or give a target")
    room = room_for_continuation(model, read)
    if room is not None and len(follow) > room:
        raise TextTooLongError(len(follow), room, "continuation")
    if model.has_encoder:
        start = _special(model, start_id(model))
        text, tokens = continuation(model.tokenizer, [], follow)
        every = (*read, start, *tokens)
        first = len(read) + 1
        encoder = len(read)
    else:
        text, tokens = continuation(model.tokenizer, [t.id for t in read], follow)
        every = (*read, *tokens)
        first, encoder = len(read), 0
    return TokenSequence(prompt, text, every, encoder, tuple(range(first, len(every))))


def start_id(model: HuggingFaceModel) -> int:
    """The id that the decoder of an encoder-decoder starts with.

    Raises:
        UnsupportedError: the model's configuration names none.
        UnknownNameError: the tokenizer does not know the language it was told to write in.
    """
    language = target_language(model.tokenizer)
    if language is not None and not language.leads:
        return language.id
    config, generation = model.network.config, model.network.generation_config
    candidates = (
        getattr(generation, "decoder_start_token_id", None),
        getattr(config, "decoder_start_token_id", None),
        getattr(config, "bos_token_id", None),
        getattr(config, "pad_token_id", None),
    )
    start = next((int(c) for c in candidates if isinstance(c, int)), None)
    if start is None:
        raise UnsupportedError("the model's configuration names no token for the decoder to start")
    return start


def _special(model: HuggingFaceModel, token_id: int) -> Token:
    """A token of the decoder that stands for no text."""
    piece: Any = model.tokenizer.convert_ids_to_tokens([token_id])[0]
    return Token(token_id, str(piece), str(piece), "decoder", "special", -1, -1)


def baseline_ids(
    model: HuggingFaceModel, sequence: TokenSequence, *, include_eos: bool
) -> tuple[int, ...]:
    """The ids that stand for "no information".

    UNK at every place, PAD for tokenizers without; end tokens stay what they are unless
    `include_eos`, and so does the decoder's start token.
    """
    unknown = baseline_id(model)
    kept = set() if include_eos else {model.tokenizer.eos_token_id}
    ids = [t.id if t.id in kept else unknown for t in sequence.tokens]
    if sequence.encoder:
        ids[sequence.encoder] = sequence.tokens[sequence.encoder].id
    return tuple(ids)


def baseline_id(model: HuggingFaceModel) -> int:
    """UNK, for tokenizers without PAD, else the end token."""
    tokenizer = model.tokenizer
    size = int(model.network.get_input_embeddings().weight.shape[0])
    candidates = (tokenizer.unk_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    # some tokenizers name special tokens that the model was never given embeddings for
    return next((i for i in candidates if i is not None and i < size), 0)
