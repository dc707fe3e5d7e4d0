"""Counts the hits that text normalisation alone would find.

    python -m benchmarks.starts.normalised

The simplest cache answers a prompt with the video of an earlier prompt whose text is
the same after normalisation. Here targets and sources are pairs of captions of the
shapes world, `reworded` (the same video in other words) or `changed` (one or two
attributes differ). `equal` is the share of pairs whose normal forms are equal: for
rewordings, such a cache then answers correctly, for changed requests wrongly.

    text        as typed
    words       case, punctuation, spaces and Unicode forms folded
    content     the set of words without function words, in any order
    thesaurus   the same with all synonyms of this world replaced by one word each

The thesaurus is complete for this world because its captions are drawn from it. No list
is complete for free text, so that row is an upper limit, not a method.
"""

import argparse
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

from benchmarks.lib import rows
from benchmarks.reuse.cases import WORDING, Cases, held_out
from chorus_jax.inter_request.match.words import split_words
from chorus_jax.training.world.captions import ADJECTIVES, NOUNS, TRAVELS, VERBS, WAYS

KEY = ("row", "over")
COLUMNS = ("row", "over", "pairs", "equal")
FUNCTION_WORDS = frozenset(
    "a an the on of that is it and there with where in over to front video does".split()
)
Normal = Callable[[str], Hashable]


def words(text: str) -> tuple[str, ...]:
    """The words of a text, normalised as for the matching of prompts."""
    return tuple(word.text for word in split_words(text))


def content(text: str) -> frozenset[str]:
    """The words of a text without function words."""
    return frozenset(words(text)) - FUNCTION_WORDS


def with_thesaurus(text: str) -> frozenset[str]:
    """The words of a text with one word for all synonyms.

    Phrases are replaced first, so that "gets bigger" is one word.
    """
    joined = f" {' '.join(words(text))} "
    for phrase, meaning in SYNONYMS:
        joined = joined.replace(f" {phrase} ", f" {meaning} ")
    return frozenset(joined.split()) - FUNCTION_WORDS


def synonyms() -> list[tuple[str, str]]:
    """Pairs of a wording in captions and its replacement, the longest first."""
    pairs = [
        (word, name)
        for table in (ADJECTIVES, NOUNS, WAYS)
        for name, alternatives in table.items()
        for word in alternatives
    ]
    pairs += [(verb, "moves") for forms in TRAVELS for verb in forms]
    pairs += [
        (verb, motion)
        for motion, forms in VERBS.items()
        if motion not in WAYS
        for form in forms
        for verb in form
    ]
    return sorted(pairs, key=lambda pair: -len(pair[0]))


SYNONYMS = synonyms()
FORMS: dict[str, Normal] = {
    "text": lambda text: text,
    "words": words,
    "content": content,
    "thesaurus": with_thesaurus,
}


def pairs_of(changes: tuple[int, ...], count: int) -> Cases:
    """Targets of combinations that training never saw, with one source each."""
    return replace(held_out(), changes=changes).cases(count, count, seed=0)


def measured(reworded: int, changed: int) -> Iterator[dict[str, Any]]:
    """Yields a row per normal form and kind, over these numbers of pairs."""
    kinds = {
        "reworded": pairs_of((WORDING,), reworded),
        "changed": pairs_of((1, 2), changed),
    }
    for name, normal in FORMS.items():
        for over, cases in kinds.items():
            equal = [
                normal(target.caption) == normal(source.caption)
                for target, source in zip(cases.targets, cases.sources, strict=True)
            ]
            share = sum(equal) / len(equal)
            yield {"row": name, "over": over, "pairs": len(equal), "equal": share}


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--reworded", type=int, default=400)
    top.add_argument("--changed", type=int, default=400)
    options = top.parse_args()
    made = list(measured(options.reworded, options.changed))
    rows.update("normalised", made, KEY)
    print(rows.table(made, COLUMNS))
    print(rows.device())


if __name__ == "__main__":
    main()
