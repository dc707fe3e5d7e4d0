"""How much of a source is reused, by the score of the match."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

from chorus_jax.inter_request.match.second_look import SecondLook

FINDERS = ("velocity", "attention")
CONTEXTS = ("held", "sampled", "dropped")


@dataclass(frozen=True)
class Tier:
    """What is done from a score `least` (0 to 1) on, in steps of its policy.

    `reuse_until` and `region_until` are those of a `StagePlan`; `active` is the share
    of tiles run in region steps, above 0; `key_gain` and `output_gain` are those at the
    start of stage 2 and a score of 0 (see `tgaa.Decay`), 1 or more. ValueError for
    other values.
    """

    least: float
    reuse_until: int
    region_until: int
    active: float = 1.0
    key_gain: float = 1.0
    output_gain: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1 or not 0 < self.active <= 1:
            raise ValueError(
                f"expected 0 <= least <= 1 and 0 < active <= 1, got {self.least} and "
                f"{self.active}"
            )
        gains = (self.key_gain, self.output_gain)
        if not all(1 <= gain < math.inf for gain in gains):
            raise ValueError(f"gains are 1 or more and finite, got {gains}")
        if not 1 <= self.reuse_until <= self.region_until:
            raise ValueError(
                "expected 1 <= reuse_until <= region_until, got "
                f"{self.reuse_until} and {self.region_until}: a tier reuses something"
            )


@dataclass(frozen=True)
class Regions:
    """How the regions of all tiers are chosen and run, 0 <= all shares <= 1.

    `halo` is the share of the active tiles that is active only up to the share `open`
    of the region steps; then it is the source's again. `reach` tiles of dilation.
    `found_by` is `velocity` or `attention` (see `regions`).
    `context` is what active tokens attend to: `held`, `dropped`, or `sampled`, the
    share of the background that is run beside them. Where the target's first velocity
    and the source's disagree outside the region, by more than `limit` times the
    source's on average, everything is run (`inf`: never). The default is ours: on the
    shapes world regions cost nothing with it over 4 steps, where 0.6 is too high; over
    50 most other grounds are beyond it, fewer beyond 0.6. It was tried on no other
    model. ValueError for other values.
    """

    halo: float = 0.0
    open: float = 0.5
    reach: int = 1
    context: str = "held"
    sampled: float = 0.125
    found_by: str = "velocity"
    limit: float = 0.3

    def __post_init__(self) -> None:
        shares = (self.halo, self.open, self.sampled)
        if not all(0 <= share <= 1 for share in shares) or self.reach < 0:
            raise ValueError(f"shares are 0 to 1 and reach is 0 or more, got {self}")
        if not self.limit >= 0:
            raise ValueError(f"a limit is 0 or more, got {self.limit}")
        if self.context not in CONTEXTS:
            raise ValueError(f"context is one of {CONTEXTS}, got {self.context!r}")
        if self.found_by not in FINDERS:
            raise ValueError(f"found_by is one of {FINDERS}, got {self.found_by!r}")


@dataclass(frozen=True)
class Policy:
    """Tiers by rising `least`, for runs of `steps` steps; without tiers never a hit.

    A higher score never means a smaller `reuse_until` or `region_until`, and at least
    one whole step ends every run. `keep` are the key steps whose latents a run leaves
    for later ones; those that the tiers start from and fill up with are among them.
    `skipped` are steps of hits that take over the last velocity, where a plan allows it
    (see `StagePlan`). `look` gives the scores that the tiers are for. ValueError for
    other tables.
    """

    steps: int
    tiers: tuple[Tier, ...]
    keep: tuple[int, ...]
    regions: Regions = Regions()
    skipped: tuple[int, ...] = ()
    look: SecondLook = SecondLook()

    def __post_init__(self) -> None:
        limits = (0, *self.keep, self.steps)
        if not all(i < j for i, j in pairwise(limits)):
            raise ValueError(
                f"key steps rise from 1 to less than the {self.steps} steps (1 or "
                f"more), got {self.keep}"
            )
        for low, high in pairwise(self.tiers):
            if low.least >= high.least:
                raise ValueError(f"tiers rise in `least`, got {low} before {high}")
            ends = (low.reuse_until, low.region_until)
            if ends[0] > high.reuse_until or ends[1] > high.region_until:
                raise ValueError(f"a higher score reuses no less, got {low} and {high}")
        edges = (-1, *self.skipped, self.steps)
        if not all(i < j for i, j in pairwise(edges)):
            raise ValueError(
                f"skipped steps rise from 0 to less than the {self.steps} steps, got "
                f"{self.skipped}"
            )
        needed = {tier.reuse_until for tier in self.tiers}
        needed |= {tier.region_until for tier in self.tiers}
        if not needed <= set(limits[:-1]):
            raise ValueError(
                f"tiers need a source's latents at the steps {sorted(needed)}, below "
                f"{self.steps}: keep them all, got {self.keep}"
            )

    def plan(self, score: float) -> Tier | None:
        """The highest tier that the score reaches, None below the lowest: a miss."""
        reached = [tier for tier in self.tiers if score >= tier.least]
        return reached[-1] if reached else None

    def for_steps(self, steps: int) -> "Policy":
        """This policy for runs of another number of steps.

        Numbers of steps are scaled and rounded down, but to 1 at least and to one less
        than the steps at most. With 1 step there is nothing to reuse. Steps that are
        skipped are those of these steps only.
        """
        if steps == self.steps:
            return self
        if steps < 2:
            return Policy(steps, (), (), look=self.look)

        def scaled(step: int) -> int:
            return min(max(1, step * steps // self.steps), steps - 1)

        tiers = (
            replace(
                tier,
                reuse_until=scaled(tier.reuse_until),
                region_until=scaled(tier.region_until),
            )
            for tier in self.tiers
        )
        keep = sorted({scaled(step) for step in self.keep})
        return Policy(steps, tuple(tiers), tuple(keep), self.regions, look=self.look)
