"""Policies: how many steps are reused from a source, by the score of the match."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import no_type_check

from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.registry import describe

FINDERS = ("velocity", "attention")
CONTEXTS = ("held", "sampled", "dropped")


@dataclass(frozen=True)
class Tier:
    """The amount of reuse from a given score upwards, in steps of its policy.

    Attributes:
        least: the lowest score for which the tier is used, 0 to 1.
        reuse_until: the first step that is run (K1), 1 or more. The run begins from
            the source's clean latents with the request's own noise at this step's
            level.
        region_until: the step up to which only a region is run (K2).
        active: the share of tiles run in region steps, above 0 and up to 1.
        key_gain: the factor, 1 or more, on the attention keys of differing words at
            step K1 for a score of 0; it falls to 1 with later steps and higher scores.
        output_gain: the factor, 1 or more, on the attention output; it falls in the
            same way.

    Raises:
        ValueError: for values out of range.
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
    """Settings for choosing and running the regions of all tiers. Shares are 0 to 1.

    Attributes:
        halo: the share of the active tiles that is active in the first region steps
            only; afterwards these tiles take the source's latents again.
        open: the share of the region steps in which the halo, if any, is active.
        reach: tiles by which a region is dilated, 0 or more.
        context: what active tokens attend to: `held` (keys and values of all tokens
            from the last full step), `dropped`, or `sampled`.
        sampled: the share of the background that is run beside a `sampled` region.
        found_by: the signal that shows where the videos differ: `velocity` or
            `attention`.
        limit: the relative disagreement of the first velocities outside the region
            above which all tokens are run (`inf`: never). The default, 0.3, is from a
            trial on the shapes world; its calibrated policies have 0.6 and 1.2.

    Raises:
        ValueError: for values out of range.
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


# Exempt from the tests' runtime type checks, because it checks types itself.
@no_type_check
@dataclass(frozen=True)
class Policy:
    """A table of how much of a source is reused, by the score of the match.

    A higher score never means a smaller `reuse_until` or `region_until`, and the last
    step of a run is never a region step.

    Attributes:
        steps: the number of steps of the runs that the policy is for.
        tiers: the tiers by rising `least`; without tiers every request is a miss.
        regions: how regions are chosen and run.
        cache: the step cache of hits.
        miss_cache: the step cache of misses.
        look: computes the scores that the tiers refer to.

    Raises:
        ValueError: for inconsistent tiers or steps, or a value of another type.
    """

    steps: int
    tiers: tuple[Tier, ...]
    regions: Regions = Regions()
    cache: StepCache = EveryStep()
    miss_cache: StepCache = EveryStep()
    look: SecondLook = SecondLook()

    def __post_init__(self) -> None:
        self._check_types()
        if self.steps < 1:
            raise ValueError(f"a policy is for 1 or more steps, got {self.steps}")
        for low, high in pairwise(self.tiers):
            if low.least >= high.least:
                raise ValueError(f"tiers rise in `least`, got {low} before {high}")
            ends = (low.reuse_until, low.region_until)
            if ends[0] > high.reuse_until or ends[1] > high.region_until:
                raise ValueError(f"a higher score reuses no less, got {low} and {high}")
        if any(tier.region_until >= self.steps for tier in self.tiers):
            raise ValueError(
                f"one whole step or more ends a run of {self.steps} steps, got "
                f"{self.tiers[-1]}"
            )

    def _check_types(self) -> None:
        tiers = self.tiers
        if not isinstance(tiers, list | tuple) or not all(
            isinstance(tier, Tier) for tier in tiers
        ):
            raise ValueError(f"tiers must be a tuple of tiers, got {tiers!r}")
        if isinstance(self.steps, bool) or not isinstance(self.steps, Integral):
            raise ValueError(f"steps must be a whole number, got {self.steps!r}")
        # Plans are hashed, so lists become tuples and NumPy integers become int.
        object.__setattr__(self, "steps", int(self.steps))
        object.__setattr__(self, "tiers", tuple(tiers))

    @property
    def digest(self) -> str:
        """A digest of all fields that affect hits, in hex.

        `miss_cache` is left out, because it is part of the recipe.

        Raises:
            ValueError: for a step cache that the registry does not know.
        """
        content = asdict(self) | {"cache": describe(self.cache)}
        del content["miss_cache"]
        text = json.dumps(content, sort_keys=True, default=lambda number: number.item())
        return hashlib.sha256(text.encode()).hexdigest()

    def plan(self, score: float) -> Tier | None:
        """The highest tier that the score reaches; None (a miss) if it reaches none."""
        reached = [tier for tier in self.tiers if score >= tier.least]
        return reached[-1] if reached else None

    def for_steps(self, steps: int) -> "Policy":
        """This policy for runs of another number of steps.

        Step numbers are scaled, rounded down and clipped to 1 ... `steps` - 1. With a
        single step there are no tiers. If the number of steps differs, the step caches
        are dropped, because they fit only the original number; all steps are then run.
        """
        if steps == self.steps:
            return self
        if steps < 2:
            return Policy(steps, (), look=self.look)

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
        return Policy(steps, tuple(tiers), self.regions, look=self.look)
