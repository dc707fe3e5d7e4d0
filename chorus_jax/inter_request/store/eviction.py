"""Which entry goes when there is no room: policies as small frozen objects.

A policy sees what is held and names the victim. It knows nothing of tiers or files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from chorus_jax.inter_request.store.entry import Statistics


class Held(NamedTuple):
    """An entry as a policy sees it; `size` in bytes."""

    id: str
    size: int
    steps: tuple[int, ...]
    statistics: Statistics


class Victim(NamedTuple):
    """An entry, or, with a step, only its latents at that key step."""

    id: str
    step: int | None = None


@runtime_checkable
class Eviction(Protocol):
    """A policy of eviction: frozen, without memory of its own."""

    def victim(self, held: Sequence[Held], now: float) -> Victim:
        """What to evict first of one or more entries; `now` in seconds."""


@dataclass(frozen=True)
class LRU:
    """Least recently used first."""

    def victim(self, held: Sequence[Held], now: float) -> Victim:
        """What to evict first."""
        return Victim(min(held, key=_idle).id)


@dataclass(frozen=True)
class ByValue:
    """Least expected seconds saved per byte first.

    What an entry saves per second from now on is estimated by what it saved per second
    so far, begun with a guess: as if it had existed for `grace` seconds before it was
    made and saved the share `prior` of its cost in them.
    """

    prior: float = 0.1
    grace: float = 3600.0

    def __post_init__(self) -> None:
        if not (self.prior >= 0 and self.grace > 0):
            raise ValueError(f"expected prior >= 0 and grace > 0, got {self}")

    def victim(self, held: Sequence[Held], now: float) -> Victim:
        """What to evict first."""
        return Victim(min(held, key=lambda one: (self.value(one, now), *_idle(one))).id)

    def value(self, held: Held, now: float) -> float:
        """Expected seconds saved per second and byte."""
        use = held.statistics
        age = max(now - use.created, 0.0) + self.grace
        return (use.saved + self.prior * use.cost) / age / held.size


@dataclass(frozen=True)
class LCBFU:
    """NIRVANA's policy (arXiv 2312.04429): least computationally beneficial and
    frequently used first.

    Its items are the latents at one key step K each, not whole entries, and the score
    is the frequency of use times K, the steps that a use saves: small K go first. The
    paper's text was not at hand; this is its idea as known from others. Admission
    counts as one use, and the least recently used goes first among equals: both ours.
    """

    def victim(self, held: Sequence[Held], now: float) -> Victim:
        """What to evict first."""
        return min(item for one in held for item in self._items(one))[-1]

    def _items(self, held: Held) -> Iterator[tuple]:
        if not held.steps:
            yield 0, *_idle(held), Victim(held.id)
        for step, uses in zip(held.steps, held.statistics.uses):
            # With its last key step an entry goes: NIRVANA keeps nothing else.
            victim = Victim(held.id, step if len(held.steps) > 1 else None)
            yield (uses + 1) * step, *_idle(held), victim


def _idle(held: Held) -> tuple[float, float, str]:
    return held.statistics.last_used, held.statistics.created, held.id
