"""The words of a prompt, and digests of them for a store that keeps no prompts.

Words are told apart by Unicode's classes, not by a list of languages. Where a script
sets no spaces between words, each letter stands for itself, with what is written on it,
before it and below it: less than a word, so that one changed does not mark a phrase.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

# Beginnings of the Unicode names of signs that are words of their own. Tibetan is not
# among them: a dot ends each of its syllables.
ALONE = (
    *("CJK ", "HENTAIGANA", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA", "YI "),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TAI ", "NEW TAI LUE ", "AHOM "),
    *("BALINESE ", "JAVANESE "),
)
# Vowels that Thai and Lao write as letters, before the consonant and after it.
BEFORE, AFTER = frozenset("เแโใไເແໂໃໄ"), frozenset("ะาๅະາຽ")
# Marks that write the next consonant below the last one.
STACKING = {
    *("KHMER SIGN COENG", "MYANMAR SIGN VIRAMA", "TAI THAM SIGN SAKOT"),
    *("BALINESE ADEG ADEG", "JAVANESE PANGKON"),
}
# What goes on with the word that ends in a kind, but for marks, which always do.
JOINED = {
    "letter": {"letter"},
    "before": {"alone"},
    "stacking": {"alone"},
    "alone": {"after"},
    "after": {"after"},
}
SECRETS = range(16, 65)


@dataclass(frozen=True)
class Word:
    """A word as it is compared, and where it stands.

    Attributes:
        text: the word, case-folded, in Unicode's form NFKC.
        start: its first character in the text.
        end: the character after its last.
    """

    text: str
    start: int
    end: int


def split_words(text: str) -> tuple[Word, ...]:
    """The words of a text: case-folded, in Unicode's form NFKC.

    Letters and digits in a row are a word, with the marks on them; every ideograph,
    kana and pictograph is one of its own, and so is every letter of a script without
    spaces (Thai, Lao, Khmer, Burmese and others), with its vowels and what is stacked
    below it. All else only parts words, but for invisible signs (joiners, soft
    hyphens), which do not even that.
    """
    words_of_runs: list[list[tuple[int, str]]] = []
    last = "gap"
    for at, char in _folded(text):
        kind = _kind(char)
        mark = kind in ("mark", "stacking")
        if kind == "nothing" or (mark and last == "gap"):
            continue
        if mark or kind in JOINED.get(last, ()):
            words_of_runs[-1].append((at, char))
        elif kind != "gap":
            words_of_runs.append([(at, char)])
        if kind != "mark":
            last = kind
    return tuple(_word(signs) for signs in words_of_runs)


def touching(
    words: Sequence[Word], spans: Int32[np.ndarray, "m 2"]
) -> Bool[np.ndarray, "u m"]:
    """True where a token touches a word, given their characters in the text.

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
        return "stacking" if name in STACKING else "mark"
    if category == "So":
        return "alone"
    if char in BEFORE:
        return "before"
    if char in AFTER:
        return "after"
    if category[0] in "LN":
        # Digits in a row are one number in every script.
        alone = category != "Nd" and name.startswith(ALONE)
        return "alone" if alone else "letter"
    return "gap"


def _word(signs: list[tuple[int, str]]) -> Word:
    text = unicodedata.normalize("NFKC", "".join(char for _, char in signs))
    return Word(text, signs[0][0], signs[-1][0] + 1)
