"""Splits a prompt into words, and digests them for a store that keeps no prompts.

Words are split by Unicode character classes, not per language. In scripts without
spaces between words each letter is a word, together with its vowels and marks: shorter
than a real word, so that one changed letter does not mark a whole phrase as changed.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

# Prefixes of the Unicode names of characters that are words of their own. Tibetan is
# not among them, because it ends each syllable with a dot.
ALONE = (
    *("CJK ", "HENTAIGANA", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA", "YI "),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TAI ", "NEW TAI LUE ", "AHOM "),
    *("BALINESE ", "JAVANESE "),
)
# Vowels that Thai and Lao write as separate letters before or after the consonant.
BEFORE, AFTER = frozenset("เแโใไເແໂໃໄ"), frozenset("ะาๅະາຽ")
# Marks that write the next consonant below the last one.
STACKING = {
    *("KHMER SIGN COENG", "MYANMAR SIGN VIRAMA", "TAI THAM SIGN SAKOT"),
    *("BALINESE ADEG ADEG", "JAVANESE PANGKON"),
}
# By the kind of a word's last character, the kinds of character that continue the word.
# Marks always continue it.
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
    """A normalised word and its position in the text.

    Attributes:
        text: the word, case-folded and in Unicode's form NFKC.
        start: the position of its first character in the text.
        end: the position after its last character.
    """

    text: str
    start: int
    end: int


def split_words(text: str) -> tuple[Word, ...]:
    """The words of a text, case-folded and in Unicode's form NFKC.

    A run of letters and digits is one word, with the marks on them. Every ideograph,
    kana and pictograph is a word of its own, and so is every letter of a script without
    spaces (Thai, Lao, Khmer, Burmese and others), with its vowels and the consonants
    stacked below it. Invisible characters (joiners, soft hyphens) are ignored; all
    other characters separate words.
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
    """True where a token overlaps a word.

    Args:
        words: the words of a text.
        spans: the first character of each token in that text, and the one after its
            last. Tokens without characters (padding, special tokens) overlap no word.
    """
    starts, ends = (
        np.array([getattr(word, side) for word in words], np.int32)[:, None]
        for side in ("start", "end")
    )
    first, last = spans.T
    return (first < last) & (first < ends) & (starts < last)


def word_keys(words: Sequence[Word], secret: bytes) -> tuple[bytes, ...]:
    """Keyed digests of words in their order, 8 bytes each.

    Nobody can guess words from them without the secret. Only keys of the same secret
    can be compared.

    Args:
        words: the words of a text (`split_words`).
        secret: the secret of the store (`Secret.for_words`), 16 to 64 bytes.

    Raises:
        ValueError: for a secret of another length.
    """
    if len(secret) not in SECRETS:
        raise ValueError(
            f"a secret for words has 16 to 64 bytes, got {len(secret)}; take the "
            "store's (secret.for_words)"
        )
    digest = lambda word: hashlib.blake2b(word.encode(), digest_size=8, key=secret)
    return tuple(digest(word.text).digest() for word in words)


def _folded(text: str) -> Iterator[tuple[int, str]]:
    # Character by character, to keep the position of each in the text. The result is
    # exact: only the composition of NFKC, done in `_word`, looks at neighbours.
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
