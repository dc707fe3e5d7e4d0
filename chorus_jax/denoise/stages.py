"""What a run does in each of its steps, known before it begins: Chorus's three stages.

Stage 1 is taken over from the source, stage 2 runs the region, stage 3 runs everything
(arXiv 2604.04451; K1 and K2 there are `reuse_until` and `region_until` here).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Stretch(NamedTuple):
    """Steps [first, last) that are run alike: on all tokens, or on the region's."""

    first: int
    last: int
    whole: bool

    @property
    def steps(self) -> range:
        """The numbers of its steps."""
        return range(self.first, self.last)


@dataclass(frozen=True)
class StagePlan:
    """The steps of one run. Hashable: a compile each, so there should be few.

    Steps [0, reuse_until) are not run: the run starts from the source's latents there.
    Steps to `region_until` run the region, which is chosen after the first `opening` of
    them, run whole; the source's latents at `region_until` fill the rest. The steps
    after it are run whole.

    The velocity of `skipped` steps is not computed but that of the last computed step:
    the seam for caches within a request. A run's first step is never skipped, nor the
    last opening step, nor the first region step, nor the first after them: each shows
    where the region is, or is on other tokens than the last.
    `keep` are the key steps: numbers of steps done, 1 to `steps`, after which the
    latents are returned for the store. ValueError for impossible plans.
    """

    steps: int
    reuse_until: int
    region_until: int
    opening: int = 1
    skipped: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a run has 1 or more steps, got {self.steps}")
        if not 0 <= self.reuse_until <= self.region_until <= self.steps:
            raise ValueError(
                "expected 0 <= reuse_until <= region_until <= steps, got "
                f"{self.reuse_until}, {self.region_until}, {self.steps}"
            )
        room = self.region_until - self.reuse_until
        if room and not 1 <= self.opening <= room:
            raise ValueError(
                f"stage 2 has {room} steps, of which 1 or more and no more than all "
                f"are its opening, got {self.opening}"
            )
        _check("skipped", self.skipped, range(self.start + 1, self.steps))
        _check("keep", self.keep, range(1, self.steps + 1))
        for step, why in self.needed.items():
            if step in self.skipped:
                raise ValueError(f"step {step} {why}: it cannot be skipped")

    @classmethod
    def plain(cls, steps: int, keep: tuple[int, ...] = ()) -> "StagePlan":
        """All steps, nothing reused."""
        return cls(steps, 0, 0, keep=keep)

    @classmethod
    def replay(cls, steps: int) -> "StagePlan":
        """No step: the source's last latents are the result."""
        return cls(steps, steps, steps)

    @property
    def start(self) -> int:
        """The first step that is run."""
        return self.reuse_until

    @property
    def regional(self) -> range:
        """The steps that run the region's tokens only."""
        opened = min(self.reuse_until + self.opening, self.region_until)
        return range(opened, self.region_until)

    @property
    def needed(self) -> dict[int, str]:
        """The steps about the region that are computed always, and why."""
        if not (region := self.regional):
            return {}
        other = "is the first on other tokens than those before it"
        return {
            region.start - 1: "shows where the region is",
            region.start: other,
            region.stop: other,
        }

    @property
    def stages(self) -> tuple[Stretch, ...]:
        """The run in its order, from `start` to `steps`, without empty stretches."""
        region = self.regional
        if not region:
            stretches = [Stretch(self.start, self.steps, True)]
        else:
            stretches = [
                Stretch(self.start, region.start, True),
                Stretch(region.start, region.stop, False),
                Stretch(region.stop, self.steps, True),
            ]
        return tuple(stretch for stretch in stretches if stretch.steps)

    @property
    def kept(self) -> tuple[int, ...]:
        """The key steps at which the run has latents of all tokens that are its own."""
        own = set(range(self.start + 1, self.steps + 1)) - set(self.regional)
        return tuple(step for step in self.keep if step in own)

    def equivalents(self, active: float) -> float:
        """The full steps' worth of work, with a share `active` of the tokens, 0 to 1,
        in region steps. ValueError for other shares.
        """
        if not 0 <= active <= 1:
            raise ValueError(f"a share of the tokens is 0 to 1, got {active}")
        region = len(set(self.regional) - set(self.skipped))
        computed = self.steps - self.start - len(self.skipped)
        return computed - region + active * region


def _check(name: str, steps: Sequence[int], allowed: range) -> None:
    rising = all(i < j for i, j in pairwise(steps))
    if not isinstance(steps, tuple) or not rising or not set(steps) <= set(allowed):
        raise ValueError(
            f"{name} is a tuple of rising numbers in [{allowed.start}, {allowed.stop}) "
            f"in this plan, got {steps}"
        )
