"""The words, and so the tokens, by which a target prompt differs from its source.

Chorus amplifies the attention keys of these tokens (arXiv 2604.04451, "differential
tokens"). The paper does not say how it finds them; aligning words is our choice.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

from chorus_jax.inter_request.match.alignment import aligned
from chorus_jax.inter_request.match.words import Word, touching


@dataclass(frozen=True)
class Difference:
    """The word-level difference between a target prompt and a source prompt.

    Words that only changed places do not count as added or missing, even where this
    changes the meaning, as from "a red cat, a blue dog" to "a blue cat, a red dog". All
    positions are in rising order.

    Attributes:
        added: positions of the target's words that the source lacks.
        missing: positions of the source's words that the target lacks.
        moved: positions of the target's words that the source has in another order.
        same: the share of the words of both prompts that they have in common, 0 to 1.
        ordered: the share that they have in common in the same order, 0 to 1.
    """

    added: tuple[int, ...]
    missing: tuple[int, ...]
    moved: tuple[int, ...]
    same: float
    ordered: float

    def tokens(
        self, words: Sequence[Word], spans: Int32[np.ndarray, "m 2"]
    ) -> Bool[np.ndarray, " m"]:
        """True for the target's tokens that overlap a word which the source lacks.

        Args:
            words: the target's words, split from the cleaned prompt.
            spans: the first character of each token in that prompt, and the one after
                its last (`Tokens.spans`). Tokens without characters (padding, special
                tokens) are never True.

        Raises:
            ValueError: if there are fewer words than were compared.
        """
        if self.added and self.added[-1] >= len(words):
            raise ValueError(
                f"word {self.added[-1]} differs, but only {len(words)} words came: "
                "give all words of the target, split from the text that was compared"
            )
        return np.any(touching([words[i] for i in self.added], spans), axis=0)


def difference(
    target: Sequence[str] | Sequence[bytes], source: Sequence[str] | Sequence[bytes]
) -> Difference:
    """Compares the words of a target prompt with those of its source.

    Words are aligned first, which decides which copy of a repeated word is new; the
    remaining words are matched regardless of position.

    Args:
        target: the target's words in clear, or their keys (`word_keys`).
        source: the source's words in the same form, with keys of the same secret.

    Raises:
        ValueError: for a text that is not split, or a mixture of words and keys.
    """
    _check(target, source)
    pairs = aligned(target, source)
    unmatched: dict[str | bytes, list[int]] = defaultdict(list)
    for i in sorted(set(range(len(source))) - {j for _, j in pairs}):
        unmatched[source[i]].append(i)
    added: list[int] = []
    moved: list[int] = []
    for i in sorted(set(range(len(target))) - {i for i, _ in pairs}):
        places = unmatched[target[i]]
        (moved if places else added).append(i)
        del places[:1]
    missing = sorted(i for places in unmatched.values() for i in places)
    total = len(source) + len(target)
    apart = len(added) + len(missing)
    share = 1 - apart / total if total else 1.0
    ordered = 1 - (apart + 2 * len(moved)) / total if total else 1.0
    return Difference(tuple(added), tuple(missing), tuple(moved), share, ordered)


def _check(
    target: Sequence[str] | Sequence[bytes], source: Sequence[str] | Sequence[bytes]
) -> None:
    if isinstance(target, (str, bytes)) or isinstance(source, (str, bytes)):
        raise ValueError("expected lists of words or of keys, got a text: split it")
    kinds = {type(word).__name__ for word in (*target, *source)}
    if len(kinds) > 1:
        raise ValueError(
            "words are compared with words and keys with keys, got both: "
            f"{sorted(kinds)}; make the target's keys with word_keys"
        )
