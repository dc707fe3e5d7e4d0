"""The attributes of videos of the shapes world, and their combinations."""

import dataclasses
import functools
import hashlib
import itertools
from typing import Final

VALUES: Final[dict[str, tuple[str, ...]]] = {
    "colour": ("red", "yellow", "green", "blue", "purple", "pink"),
    "shape": ("circle", "square", "triangle", "star", "ring"),
    "size": ("small", "large"),
    "motion": ("left", "right", "up", "down", "still", "grows"),
    "background": ("gray", "black", "white", "brown", "striped", "checkered"),
}


@dataclasses.dataclass(frozen=True)
class Attributes:
    """Values of one object and its background, as a caption names them.

    Attributes:
        colour: the name of the object's colour.
        shape: the name of the object's shape.
        size: the name of the object's size; None leaves it open.
        motion: the name of the object's motion.
        background: the name of the ground.

    Raises:
        ValueError: for a value that is not in `VALUES`.
    """

    colour: str
    shape: str
    size: str | None
    motion: str
    background: str

    def __post_init__(self) -> None:
        for name, values in VALUES.items():
            value = getattr(self, name)
            if value not in values and not (name == "size" and value is None):
                raise ValueError(f"{name} is one of {', '.join(values)}; got {value!r}")

    def unsized(self) -> "Attributes":
        """These attributes without a size."""
        return dataclasses.replace(self, size=None)


def differing(a: Attributes, b: Attributes) -> tuple[str, ...]:
    """The names of the attributes in which two videos differ."""
    return tuple(name for name in VALUES if getattr(a, name) != getattr(b, name))


@functools.cache
def combinations() -> tuple[Attributes, ...]:
    """Every combination of values, always in the same order."""
    return tuple(itertools.starmap(Attributes, itertools.product(*VALUES.values())))


def is_held_out(attributes: Attributes) -> bool:
    """Whether training must never see this combination, in either size."""
    return _unsized(attributes) in _held_out()


@functools.cache
def training_combinations() -> tuple[Attributes, ...]:
    """Nine tenths of the combinations; every pair of values occurs among them."""
    return tuple(x for x in combinations() if not is_held_out(x))


@functools.cache
def held_out_combinations() -> tuple[Attributes, ...]:
    """The tenth that no training may see."""
    return tuple(x for x in combinations() if is_held_out(x))


@functools.cache
def _held_out() -> frozenset[tuple[str, ...]]:
    # Sizes are held out together: a caption may omit the size, and would be known from
    # training if one size of its combination were.
    every = sorted(set(map(_unsized, combinations())), key=_digest)
    return frozenset(every[: len(every) // 10])


def _unsized(attributes: Attributes) -> tuple[str, ...]:
    return tuple(getattr(attributes, name) for name in VALUES if name != "size")


def _digest(words: tuple[str, ...]) -> str:
    # Python's own hash of a string changes from run to run.
    return hashlib.sha256(" ".join(words).encode()).hexdigest()
