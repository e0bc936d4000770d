"""Where tokens stand in the text: nothing a reader sees is split, lost or counted twice."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from am_inseq.core.tokens import Token
from am_inseq.models.text import align_pieces, continuation, encode
from tests.tiny.vocabularies import SENTENCES, TOKENIZERS

PIECES = (
    "👩‍👩‍👧‍👦",  # a family, joined by zero-width joiners
    "🏳️‍🌈",
    "🇫🇷🇩🇪",
    "👍🏽",
    "☕️",
    "你好",
    "漢字かな",
    "e\u0301",
    "n\u0303o",
    "क्षि",
    "한국어",
    "한",
    "שלום",
    "مرحبا",
    "\r\n",
    "\t",
    "  ",
    "\n\n",
    "ﬁ",
    "½",
    "Ⅷ",
    "ＡＢＣ",
    "…",
    "™",
    "ß",
    "İ",
    "<unk>",
    "</s>",
    "▁",
    "the cat",
    "Hello",
    "'s",
    "été",
    "x_1",
    "\u00a0",
    "\ufffd",
)
TEXTS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.sampled_from(SENTENCES), st.text(max_size=4)),
    min_size=1,
    max_size=6,
).map("".join)
KINDS = list(TOKENIZERS)
WRITTEN = (
    "Hello 👩‍👩‍👧‍👦 world 🏳️‍🌈!",
    "naïve cafe\u0301 — 你好，世界。",
    "line one\r\nline two\r\n\tindented 👍🏽",
    "  two spaces, then the cat  ",
    "שלום the cat مرحبا",
    "100 % ½ … ﬁ™",
)
RESPELT = (  # letters that tokenizers write in another way than these texts
    "parle\u0301 the cat parlé idea",
    "cafe\u0301 été the cat",
    "ｆｕｌｌ width ﬁne",
    "½ cup",
    "a\u0300\u0323b",
    "ｶﾞ the 🙂the 한 the cat",
)


SPACES = {"marian": "\u2581\ufffd"}  # what sentencepiece's normalizer turns into spaces


def is_visible(character: str, kind: str) -> bool:
    """Whether a tokenizer may be expected to see it: no white space, control or format mark."""
    is_space = character.isspace() or character in SPACES.get(kind, "")
    return not is_space and unicodedata.category(character) not in ("Cc", "Cf", "Cn", "Cs")


def ranges_of(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    return [(t.start, t.end) for t in tokens if t.part != "special"]


def check_ranges(text: str, tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Ranges ascend, are equal or disjoint, split nothing; returns the distinct ones with text."""
    bounds = {0, len(text), *(m.start() for m in regex.finditer(r"\X", text))}
    ranges = ranges_of(tokens)
    for start, end in ranges:
        assert 0 <= start <= end <= len(text)
        assert {start, end} <= bounds, (text, start, end)
    for (a, b), (c, d) in itertools.pairwise([r for r in ranges if r[0] < r[1]]):
        assert (a, b) == (c, d) or b <= c, (text, ranges)
    assert [start for start, _ in ranges] == sorted(start for start, _ in ranges)
    for token in tokens:
        if token.part == "special":
            assert (token.start, token.end) == (-1, -1)
        else:
            assert token.text == text[token.start : token.end]
    return sorted({r for r in ranges if r[0] < r[1]})


def check_nothing_is_lost(text: str, distinct: Sequence[tuple[int, int]], kind: str) -> None:
    rebuilt, cursor = "", 0
    for start, end in [*distinct, (len(text), len(text))]:
        gap = text[cursor:start]
        assert not any(is_visible(character, kind) for character in gap), (text, gap, distinct)
        rebuilt += gap + text[start:end]
        cursor = end
    assert rebuilt == text


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(text=TEXTS)
@example(text="Hello 👩‍👩‍👧‍👦 world")
@example(text="caf" + "e\u0301" + " x")
@example(text="a\r\nb\tc")
@example(text="👍🏽👍🏽 the cat")
@example(text=RESPELT[0])
@example(text=RESPELT[1])
@example(text=RESPELT[2])
@example(text=RESPELT[3])
@example(text=RESPELT[4])
def test_the_text_is_rebuilt_from_the_ranges_of_its_tokens(kind, text):
    tokens = encode(TOKENIZERS[kind](), text, side="decoder")

    distinct = check_ranges(text, tokens)

    check_nothing_is_lost(text, distinct, kind)


@pytest.mark.parametrize("text", [*WRITTEN, *RESPELT])
@pytest.mark.parametrize("kind", KINDS)
def test_written_texts_are_rebuilt_from_the_ranges_of_their_tokens(kind, text):
    tokens = encode(TOKENIZERS[kind](), text, side="decoder")

    check_nothing_is_lost(text, check_ranges(text, tokens), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_tokenizer(kind):
    tokenizer = TOKENIZERS[kind]()

    tokens = encode(tokenizer, WRITTEN[0], side="encoder")

    assert [token.id for token in tokens] == tokenizer(WRITTEN[0])["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_of_a_plain_sentence_stands_at_its_own_letters(kind):
    tokens = encode(TOKENIZERS[kind](), SENTENCES[0], side="decoder")

    for token in tokens:
        if token.part != "special":
            letters = token.piece.replace("Ġ", " ").replace("▁", " ").strip()
            assert token.text.strip() == letters


@pytest.mark.parametrize("text", RESPELT)
@pytest.mark.parametrize("kind", KINDS)
def test_no_token_stands_at_letters_of_two_words(kind, text):
    tokens = encode(TOKENIZERS[kind](), text, side="encoder")

    assert all(len(token.text.split()) <= 1 for token in tokens if token.part != "special")


@pytest.mark.parametrize("text", RESPELT)
def test_pieces_without_offsets_stand_at_the_word_that_they_spell(text):
    tokens = [t for t in encode(TOKENIZERS["marian"](), text, side="encoder") if t.start >= 0]

    for word in re.finditer(r"\S+", text):
        inside = [t for t in tokens if word.start() <= t.start < word.end() and t.text]
        spelt = "".join(re.escape(t.piece.strip("▁")) for t in inside)
        assert inside[0].start == word.start()
        assert inside[-1].end == word.end()
        assert re.fullmatch(
            spelt.replace(re.escape("<unk>"), ".+"), unicodedata.normalize("NFKC", word.group())
        )


@pytest.mark.parametrize(
    ("text", "surfaces", "placed"),
    [
        # a piece that is written otherwise here does not run off to where it is written so
        ("The cat saw the dog", [" the", " cat", " saw", " the", " dog"], "The|cat|saw|the|dog"),
        ("ÉT the été the", [" é", "t", " the", " été", " the"], "ÉT|ÉT|the|été|the"),
        # an unknown piece reaches as far as it must
        ("你好" * 200 + " the cat", ["\ufffd", " the", " cat"], f"{'你好' * 200}|the|cat"),
        ("x🙂the the", [" x", "\ufffd", "the", " the"], "x|🙂|the|the"),
        # what the tokenizer left out belongs to a neighbour
        ("#the ## cat", [" the", " cat"], "#the ##|cat"),
        ("#" * 60 + " the cat", [" the", " cat"], "#" * 60 + " the|cat"),
        ("the cat", [" the", "", "cat", ""], "the||cat|"),
        ("", [" ", ""], "|"),
    ],
)
def test_pieces_are_placed_where_most_of_them_fit(text, surfaces, placed):
    ranges = align_pieces(text, surfaces)

    assert [text[start:end] for start, end in ranges] == placed.split("|")


@pytest.mark.slow
@settings(max_examples=300)
@given(
    text=TEXTS,
    surfaces=st.lists(st.sampled_from([*PIECES, " t", "he", "e", "a", "\ufffd", " ", ""])),
)
def test_pieces_cover_all_of_the_text_even_where_they_do_not_spell_it(text, surfaces):
    ranges = align_pieces(text, surfaces)

    assert len(ranges) == len(surfaces)
    assert [start for start, _ in ranges] == sorted(start for start, _ in ranges)
    covered = {place for start, end in ranges for place in range(start, end)}
    if any(surfaces):
        folded = [p for p, character in enumerate(text) if is_visible(character, "marian")]
        assert covered.issuperset(folded)


@pytest.mark.parametrize("kind", KINDS)
def test_all_bytes_of_an_emoji_carry_the_whole_emoji(kind):
    tokens = encode(TOKENIZERS[kind](), "see 👩‍👩‍👧‍👦 there", side="decoder")

    holding = [token for token in tokens if "👩" in token.text]

    assert holding
    assert {token.text.strip() for token in holding} == {"👩‍👩‍👧‍👦"}


def specials_of(kind: str) -> set[int]:
    tokenizer = TOKENIZERS[kind]()
    added = tokenizer.added_tokens_decoder.items()
    return {*tokenizer.all_special_ids, *(i for i, token in added if token.special)}


def ids_of(kind: str, *, special: bool = False) -> st.SearchStrategy[list[int]]:
    tokenizer = TOKENIZERS[kind]()
    kept = [i for i in range(len(tokenizer)) if special or i not in specials_of(kind)]
    return st.lists(st.sampled_from(kept), min_size=1, max_size=14)


def said(kind: str, ids: Sequence[int]) -> str:
    """What the tokenizer says in one go."""
    return TOKENIZERS[kind]().decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(data=st.data())
def test_a_continuation_reads_as_the_tokenizer_decodes_it(kind, data):
    ids = data.draw(ids_of(kind))

    text, tokens = continuation(TOKENIZERS[kind](), [], ids)

    assert text == said(kind, ids)
    assert [token.id for token in tokens] == ids
    distinct = check_ranges(text, tokens)
    covered = "".join(text[start:end] for start, end in distinct)
    assert covered == text  # every character stems from some token


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(data=st.data())
def test_a_continuation_follows_what_stands_before_it(kind, data):
    tokenizer = TOKENIZERS[kind]()
    before = tokenizer(data.draw(st.sampled_from(SENTENCES)), add_special_tokens=False).input_ids
    ids = data.draw(ids_of(kind))

    text, tokens = continuation(tokenizer, before, ids)

    assert said(kind, before) + text == said(kind, [*before, *ids])
    assert [token.id for token in tokens] == ids
    check_ranges(text, tokens)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(data=st.data())
def test_special_tokens_stand_for_no_text(kind, data):
    tokenizer = TOKENIZERS[kind]()
    ids = data.draw(ids_of(kind, special=True))

    text, tokens = continuation(tokenizer, [], ids)

    special = [token.id in specials_of(kind) for token in tokens]
    assert [token.part == "special" for token in tokens] == special
    assert text == said(kind, [i for i in ids if i not in specials_of(kind)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_continuation_grows_as_its_tokens_come(kind):
    tokenizer = TOKENIZERS[kind]()
    ids = tokenizer("the cat été 🙂 said", add_special_tokens=False)["input_ids"]
    if tokenizer.unk_token_id in ids:
        ids = [i for i in ids if i != tokenizer.unk_token_id]

    texts = [continuation(tokenizer, [], ids[:n])[0].rstrip("\ufffd") for n in range(len(ids) + 1)]

    for shorter, longer in itertools.pairwise(texts):
        assert longer.startswith(shorter)
    assert texts[-1] == said(kind, ids)


@pytest.mark.parametrize("kind", ["byte_fallback", "byte_fallback_prepend", "byte_fallback_t5"])
def test_each_character_of_a_long_run_of_bytes_stands_at_its_own(kind):
    tokenizer = TOKENIZERS[kind]()
    written = "ñ你ñ好ñ世🙂界ñ"
    ids = [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in written.encode()]

    text, tokens = continuation(tokenizer, [], ids)

    assert text == written
    assert [token.text for token in tokens] == [c for c in written for _ in c.encode()]


@pytest.mark.parametrize("kind", ["byte_fallback", "byte_level"])
def test_half_a_character_is_told_as_broken_until_it_is_whole(kind):
    tokenizer = TOKENIZERS[kind]()
    ids = tokenizer("ab🙂", add_special_tokens=False)["input_ids"]

    texts = [continuation(tokenizer, [], ids[:n])[0] for n in range(len(ids) + 1)]

    assert texts[-1] == "ab🙂"
    assert all("\ufffd" in text for text in texts[-4:-1])


@pytest.mark.parametrize("kind", ["byte_fallback", "byte_fallback_prepend", "byte_fallback_t5"])
def test_bytes_that_follow_bytes_of_the_prompt_are_their_own_characters(kind):
    tokenizer = TOKENIZERS[kind]()
    before, ids = (
        [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in written.encode()]
        for written in ("ñ你ñ好ñ", "世界")
    )

    text, tokens = continuation(tokenizer, before, ids)

    assert text == "世界"
    assert [token.text for token in tokens] == ["世"] * 3 + ["界"] * 3
