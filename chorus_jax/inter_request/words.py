"""The words of a prompt, and digests of them for a store that keeps no prompts.

Words are told apart by Unicode's classes, not by a list of languages: a script that
sets no spaces, but for Chinese and Japanese, has one word from sign to sign.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

# Beginnings of the Unicode names of signs that are words of their own.
ALONE = ("CJK ", "HENTAIGANA", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA")
SECRETS = range(16, 65)


@dataclass(frozen=True)
class Word:
    """A word as it is compared, and where it was: the characters [start, end)."""

    text: str
    start: int
    end: int


def split_words(text: str) -> tuple[Word, ...]:
    """The words of a text: case-folded, in Unicode's form NFKC.

    Letters and digits in a row are a word, with the marks on them; every ideograph,
    kana and pictograph is one of its own. All else only parts words, but for invisible
    signs (joiners, soft hyphens), which do not even that.
    """
    found: list[list[tuple[int, str]]] = []
    last = "gap"
    for at, char in _folded(text):
        kind = _kind(char)
        if kind == "nothing" or (kind == "mark" and last == "gap"):
            continue
        if kind == "mark" or kind == last == "letter":
            found[-1].append((at, char))
            continue
        if kind != "gap":
            found.append([(at, char)])
        last = kind
    return tuple(_word(signs) for signs in found)


def touching(
    words: Sequence[Word], spans: Int32[np.ndarray, "m 2"]
) -> Bool[np.ndarray, "u m"]:
    """Which tokens touch which words, given their characters in the text of the words.

    Tokens without characters (padding, special ones) touch none.
    """
    starts, ends = (
        np.array([getattr(word, side) for word in words], np.int32)[:, None]
        for side in ("start", "end")
    )
    first, last = spans.T
    return (first < last) & (first < ends) & (starts < last)


def word_keys(text: str, secret: bytes) -> tuple[bytes, ...]:
    """The digests of a text's words in their order, 8 bytes each.

    Without the secret (16 to 64 bytes, else a ValueError) nobody can try words out;
    keys of one secret can be compared with each other.
    """
    if len(secret) not in SECRETS:
        raise ValueError(
            f"a secret for words has 16 to 64 bytes, got {len(secret)}; take the "
            "store's (secret.for_words)"
        )
    digest = lambda word: hashlib.blake2b(word.encode(), digest_size=8, key=secret)
    return tuple(digest(word.text).digest() for word in split_words(text))


def _folded(text: str) -> Iterator[tuple[int, str]]:
    # Sign by sign, so that each is known by its place in the text. That is exact: only
    # the composing in NFKC, done last, looks at neighbours.
    for at, char in enumerate(text):
        apart = unicodedata.normalize("NFKD", char).casefold()
        yield from ((at, part) for part in unicodedata.normalize("NFKD", apart))


def _kind(char: str) -> str:
    category = unicodedata.category(char)
    name = unicodedata.name(char, "")
    if category == "Cf" or name.startswith("VARIATION SELECTOR"):
        return "nothing"
    if category[0] == "M":
        return "mark"
    if category == "So":
        return "alone"
    if category[0] in "LN":
        return "alone" if name.startswith(ALONE) else "letter"
    return "gap"


def _word(signs: list[tuple[int, str]]) -> Word:
    text = unicodedata.normalize("NFKC", "".join(char for _, char in signs))
    return Word(text, signs[0][0], signs[-1][0] + 1)
