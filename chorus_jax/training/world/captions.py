"""Captions of the shapes world: many wordings of the same video.

Lower-case words with single spaces and no punctuation; `vocabulary` lists them all.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from chorus_jax.training.world.attributes import Attributes

T = TypeVar("T")
Verb = tuple[str, str]  # "a circle moves left", "a circle moving left"
Choose = Callable[[Sequence[Any]], Any]  # picks one of several wordings

# The first of each is the canonical one.
ADJECTIVES: Final[dict[str, tuple[str, ...]]] = {
    "red": ("red", "scarlet", "crimson"),
    "yellow": ("yellow", "golden", "lemon"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure", "cobalt"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rosy"),
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
    "gray": ("gray", "grey"),
    "black": ("black", "dark"),
    "white": ("white", "bright"),
    "brown": ("brown", "earthy"),
    "striped": ("striped", "stripy"),
    "checkered": ("checkered", "checked"),
}
NOUNS: Final[dict[str, tuple[str, ...]]] = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle", "wedge"),
    "star": ("star", "pentagram"),
    "ring": ("ring", "hoop", "donut"),
    "background": ("background", "backdrop", "ground"),
}
TRAVELS: Final[tuple[Verb, ...]] = (
    ("moves", "moving"),
    ("slides", "sliding"),
    ("drifts", "drifting"),
    ("goes", "going"),
)
WAYS: Final[dict[str, tuple[str, ...]]] = {
    "left": ("left", "to the left", "leftwards"),
    "right": ("right", "to the right", "rightwards"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
}
VERBS: Final[dict[str, tuple[Verb, ...]]] = {
    "still": (
        ("stays still", "staying still"),
        ("rests", "resting"),
        ("does not move", "not moving"),
    ),
    "grows": (
        ("grows", "growing"),
        ("expands", "expanding"),
        ("gets bigger", "getting bigger"),
    ),
} | {
    motion: tuple(
        (f"{does} {way}", f"{doing} {way}")
        for way, (does, doing) in itertools.product(ways, TRAVELS)
    )
    for motion, ways in WAYS.items()
}
PLAIN: Final = "{thing} {does} on {ground}"
TEMPLATES: Final[tuple[str, ...]] = (
    PLAIN,
    "{thing} {doing} on {ground}",
    "{thing} that {does} on {ground}",
    "{thing} {doing} over {ground}",
    "{thing} in front of {ground} {does}",
    "on {ground} {thing} {does}",
    "{ground} with {thing} {doing}",
    "{ground} where {thing} {does}",
    "a video of {thing} {doing} on {ground}",
    "there is {thing} on {ground} and it {does}",
)
PAIR: Final = "{thing} {does} and {thing2} {does2} on {ground}"
PAIR_TEMPLATES: Final[tuple[str, ...]] = (
    PAIR,
    "{thing} {doing} and {thing2} {doing2} on {ground}",
    "on {ground} {thing} {does} and {thing2} {does2}",
    "{ground} with {thing} {doing} and {thing2} {doing2}",
    "{thing} {does} while {thing2} {does2} on {ground}",
)


def caption(attributes: Attributes, second: Attributes | None = None) -> str:
    """The canonical caption: "a small red circle moves left on a gray background".

    A size of None is left out. A second object shares the background of the first.
    """
    return _fill(PLAIN if second is None else PAIR, attributes, second, _first)


def paraphrase(
    attributes: Attributes,
    rng: np.random.Generator,
    second: Attributes | None = None,
) -> str:
    """Another wording of the same video, drawn from all templates and synonyms."""

    def choose(choices: Sequence[T]) -> T:
        return choices[int(rng.integers(len(choices)))]

    templates = TEMPLATES if second is None else PAIR_TEMPLATES
    if second is not None and rng.integers(2):
        attributes, second = second, attributes
    return _fill(choose(templates), attributes, second, choose)


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted."""
    sources = [*TEMPLATES, *PAIR_TEMPLATES, "a an"]
    for synonyms in (ADJECTIVES, NOUNS):
        sources += itertools.chain.from_iterable(synonyms.values())
    for verbs in VERBS.values():
        sources += itertools.chain.from_iterable(verbs)
    words = " ".join(sources).split()
    return tuple(sorted({word for word in words if "{" not in word}))


def _fill(
    template: str, first: Attributes, second: Attributes | None, choose: Choose
) -> str:
    does, doing = choose(VERBS[first.motion])
    parts = {
        "thing": _phrase(choose, first.shape, first.size, first.colour),
        "ground": _phrase(choose, "background", first.background),
        "does": does,
        "doing": doing,
    }
    if second is not None:
        if second.background != first.background:
            raise ValueError(
                "two objects share one background, got "
                f"{first.background} and {second.background}"
            )
        parts["thing2"] = _phrase(choose, second.shape, second.size, second.colour)
        parts["does2"], parts["doing2"] = choose(VERBS[second.motion])
    return template.format(**parts)


def _phrase(choose: Choose, noun: str, *adjectives: str | None) -> str:
    spoken = [choose(ADJECTIVES[word]) for word in adjectives if word is not None]
    words = " ".join([*spoken, choose(NOUNS[noun])])
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _first(choices: Sequence[T]) -> T:
    return choices[0]
