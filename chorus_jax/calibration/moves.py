"""The policies next to a policy: one thing changed, by one place on its grid."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chorus_jax.calibration.tiers import needed, skip_list, skipping
from chorus_jax.inter_request.policy.policy import CONTEXTS, FINDERS, Policy, Tier

ACTIVE = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
KEY_GAINS = (1.0, 1.5, 2.0, 3.0, 5.0)
OUTPUT_GAINS = (1.0, 1.1, 1.25, 1.5)
REACH = (0, 1, 2)
HALO = (0.0, 0.25, 0.5)
LIMITS = (0.15, 0.3, 0.6, 1.2)
EVERY = (5, 4, 3, 2)  # one in so many steps is skipped
MORE = (1, 2, 4)  # twentieths of the targets for a new tier
FEWEST = 5  # targets that tell something of a tier

Neighbours = Callable[[Policy], Iterator[Policy]]


@dataclass(frozen=True)
class Moves:
    """The changes of policies that a search tries.

    Attributes:
        steps: of the policies.
        scores: of the targets.
    """

    steps: int
    scores: tuple[float, ...]

    @property
    def key_steps(self) -> tuple[int, ...]:
        """The steps at which a run may begin and a region end."""
        tenths = (round(self.steps * i / 10) for i in range(1, 10))
        return tuple(sorted({min(max(1, step), self.steps - 1) for step in tenths}))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Scores, a twentieth of the targets between each and the next."""
        scores = np.quantile(self.scores, np.linspace(0, 0.95, 20))
        return tuple(sorted({threshold(value) for value in scores.tolist()}))

    @property
    def skips(self) -> tuple[tuple[int, ...], ...]:
        """Lists of skipped steps, shortest first; never the first step or the last."""
        lists = {tuple(range(n - 1, self.steps - 1, n)) for n in EVERY}
        return tuple(sorted({(), *lists}, key=lambda steps: (len(steps), steps)))

    def keeping(self, policy: Policy) -> Policy:
        """The policy with all key steps that any move may need."""
        keep = sorted({*self.key_steps, *needed(*policy.tiers)})
        return replace(policy, keep=tuple(keep))

    def cautious(self, policy: Policy) -> Policy:
        """The start of a search if no better one is allowed: tiers for the best of the
        targets that take over as little as possible and run everything else."""
        first = self.key_steps[0]
        tiers = tuple(
            replace(tier, reuse_until=first, region_until=first)
            for tier in policy.tiers
        )
        return self.spread(replace(policy, tiers=tiers), 0.75)

    def spread(self, policy: Policy, above: float = 0.0) -> Policy:
        """With thresholds that part these targets, but for a share that has the lowest
        scores, evenly: those that it came with may be for another encoder's scores. Of
        tiers that fall together the lowest."""
        count, even = len(policy.tiers), dict[float, Tier]()
        shares = above + (1 - above) * np.arange(1, count + 1) / (count + 1)
        for share, tier in zip(shares.tolist(), policy.tiers, strict=True):
            least = threshold(float(np.quantile(self.scores, share)))
            even.setdefault(least, replace(tier, least=least))
        tiers = tuple(even.values())
        return self.measured(replace(self.keeping(policy), tiers=tiers))

    def raised(self, policy: Policy) -> Iterator[Policy]:
        """The policy with its lowest threshold a place higher, and higher, up to the
        last few targets: what scored lowest is missed."""
        for place in self.thresholds:
            if policy.tiers and place > policy.tiers[0].least:
                lowest, *others = policy.tiers
                if not others or place < others[0].least:
                    others = [replace(lowest, least=place), *others]
                policy = self.measured(replace(policy, tiers=tuple(others)))
                if policy.tiers:
                    yield policy

    def measured(self, policy: Policy) -> Policy:
        """The policy without the tiers that too few targets reach: their targets fall
        to the tier below, or miss."""
        while policy.tiers:
            reached = [policy.plan(score) for score in self.scores]
            few = [x for x in policy.tiers if reached.count(x) < FEWEST]
            if not few:
                break
            tiers = tuple(tier for tier in policy.tiers if tier != few[-1])
            policy = replace(policy, tiers=tiers)
        return policy

    def coordinates(self) -> dict[str, Neighbours]:
        """The coordinates of a search: by name, the policies with one thing changed.

        In the order in which they tell most for what must be run. Skipped steps save
        most, and what runs after them runs faster; thresholds run few targets anew;
        what all tiers share has one neighbour or two. What each tier has for itself is
        last: it runs most, and a search begins with tiers that were compared already.
        """
        return {
            "cache": self._skipped,
            "least": self._tiers("least", self.thresholds, True),
            "tiers": self._below,
            "found_by": self._regions("found_by", lambda now: FINDERS),
            "halo": self._regions("halo", lambda now: adjacent(HALO, now)),
            "context": self._regions("context", lambda now: CONTEXTS),
            "reach": self._regions("reach", lambda now: adjacent(REACH, now)),
            "key_gain": self._tiers("key_gain", KEY_GAINS, False),
            "output_gain": self._tiers("output_gain", OUTPUT_GAINS, False),
            "limit": self._regions("limit", lambda now: adjacent(LIMITS, now)),
            "active": self._tiers("active", ACTIVE, True),
            "reuse_until": self._tiers("reuse_until", self.key_steps, True),
            "region_until": self._tiers("region_until", self.key_steps, True),
        }

    def _tiers(self, name: str, grid: Sequence[Any], alone: bool) -> Neighbours:
        """A field of all tiers, each one place down or up, and of each tier alone."""

        def neighbours(policy: Policy) -> Iterator[Policy]:
            places = [adjacent(grid, getattr(tier, name)) for tier in policy.tiers]
            groups = [range(len(places))]
            groups += [range(i, i + 1) for i in groups[0]] if alone else []
            for group, way in itertools.product(groups, (0, 1)):
                yield from self._with(policy, name, {i: places[i][way] for i in group})

        return neighbours

    def _below(self, policy: Policy) -> Iterator[Policy]:
        """Adds a tier of the next targets below, that takes over as little as possible;
        none if the lowest does that."""
        lowest, first = policy.tiers[0], self.key_steps[0]
        if lowest.region_until == first:
            return
        tier = replace(lowest, reuse_until=first, region_until=first)
        lower = [score for score in self.thresholds if score < lowest.least]
        for places in MORE:
            if places <= len(lower):
                more = replace(tier, least=lower[-places])
                changed = self.measured(replace(policy, tiers=(more, *policy.tiers)))
                if changed.tiers[0] == more:
                    yield changed

    def _with(
        self, policy: Policy, name: str, values: dict[int, Any]
    ) -> Iterator[Policy]:
        """The policy with these values of some of its tiers, unless it is not allowed.

        None leaves a tier as it is.

        One that reuses nothing is none: it loses nothing, and no move leads back.
        """
        try:
            tiers = [
                tier if values.get(i) is None else replace(tier, **{name: values[i]})
                for i, tier in enumerate(policy.tiers)
            ]
            changed = self.measured(replace(policy, tiers=tuple(tiers)))
        except ValueError:
            return  # tiers that do not rise, say
        if changed.tiers and changed != policy:
            yield changed

    def _regions(self, name: str, values: Callable[[Any], Sequence[Any]]) -> Neighbours:
        """A field of the regions with these values, given its own."""

        def neighbours(policy: Policy) -> Iterator[Policy]:
            now = getattr(policy.regions, name)
            others = (value for value in values(now) if value not in (now, None))
            for value in others:
                regions = replace(policy.regions, **{name: value})
                yield replace(policy, regions=regions)

        return neighbours

    def _skipped(self, policy: Policy) -> Iterator[Policy]:
        """Longer lists of skipped steps, the longest first, since it saves most; then
        the next shorter one."""
        order = lambda steps: (len(steps), steps)
        now = order(skip_list(policy.cache))
        shorter = [x for x in self.skips if order(x) < now]
        longer = [x for x in self.skips if order(x) > now]
        for steps in (*reversed(longer), *shorter[-1:]):
            yield replace(policy, cache=skipping(steps))


def adjacent(grid: Sequence[Any], value: Any) -> tuple[Any, Any]:
    """The next lower and the next higher value of a rising grid, None for none."""
    lower = [x for x in grid if x < value]
    higher = [x for x in grid if x > value]
    return (lower[-1] if lower else None), (higher[0] if higher else None)


def threshold(score: float) -> float:
    """A threshold that this score reaches, with few digits."""
    return max(0.0, math.floor(score * 1000) / 1000)
