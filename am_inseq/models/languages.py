"""The language that a multilingual translation model is to write in, as its tokenizer was told.

Families say it in two ways: M2M100, NLLB and mBART-50 write the language's token first, behind the
decoder's start token; mBART's decoder starts with it. Both follow from how the tokenizer frames a
target, so that no list of models is kept here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from am_inseq.errors import InputError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Language:
    """The target language of a tokenizer.

    Attributes:
        id: the id of its token.
        leads: whether that token is the first one written; else the decoder starts with it.
    """

    id: int
    leads: bool


def target_language(tokenizer: Any) -> Language | None:
    """The language that was chosen; None where there is no choice, or none was made.

    Raises:
        UnknownNameError: the tokenizer does not know it.
    """
    chosen = getattr(tokenizer, "tgt_lang", None)
    if chosen is None or not _is_tagged(tokenizer):
        return None
    try:
        framed: list[int] = tokenizer(text_target="a")["input_ids"]
    except KeyError as error:
        tokenizer._switch_to_input_mode()  # noqa: SLF001 - left half way by the failure
        raise _unknown(tokenizer, str(chosen)) from error
    plain: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    if len(framed) < len(plain) + 2:
        return None  # an end token alone
    leads = framed[-1] == tokenizer.eos_token_id
    tag = framed[0] if leads else framed[-1]
    if tag == tokenizer.unk_token_id:
        raise _unknown(tokenizer, str(chosen))
    return Language(tag, leads)


def check_target_language(tokenizer: Any) -> None:
    """Refuses a target in no language: such a tokenizer would take it for the source language.

    Raises:
        InputError: the tokenizer marks languages and was not told that of the target.
    """
    if _is_tagged(tokenizer) and getattr(tokenizer, "tgt_lang", None) is None:
        raise InputError(
            "this model translates between many languages and was not told which one the target is "
            'in; set model.tokenizer.tgt_lang, or load it with tokenizer_kwargs={"src_lang": …, '
            '"tgt_lang": …}'
        )


def _is_tagged(tokenizer: Any) -> bool:
    return hasattr(tokenizer, "set_tgt_lang_special_tokens") and hasattr(tokenizer, "tgt_lang")


def _unknown(tokenizer: Any, name: str) -> UnknownNameError:
    known = getattr(tokenizer, "lang_code_to_id", None) or tokenizer.added_tokens_encoder
    return UnknownNameError("language", name, [str(code) for code in known])
