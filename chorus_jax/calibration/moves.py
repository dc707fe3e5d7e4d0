"""The moves of a search: policies with one setting moved to another grid value."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chorus_jax.calibration.tiers import skipping
from chorus_jax.inter_request.policy.policy import CONTEXTS, FINDERS, Policy, Tier
from chorus_jax.intra_request import StepCache
from chorus_jax.intra_request.fitting import reuses_velocities
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.taylor import TaylorSeer

ACTIVE = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
KEY_GAINS = (1.0, 1.5, 2.0, 3.0, 5.0)
OUTPUT_GAINS = (1.0, 1.1, 1.25, 1.5)
REACH = (0, 1, 2)
HALO = (0.0, 0.25, 0.5)
LIMITS = (0.15, 0.3, 0.6, 1.2)
EVERY = (5, 4, 3, 2)  # every n-th step is skipped
# Step caches that need no calibration of their own, by falling share of computed steps
# (`benchmarks.caches.hits` compares them in hits). SeaCache may skip 4 steps in a row.
CACHES = (
    SeaCache(0.05, longest=4),
    TaylorSeer(interval=2, last=1),
    SeaCache(0.075, longest=4),
    SeaCache(0.1, longest=4),
    TaylorSeer(interval=3, last=1),
    SeaCache(0.25, longest=4),
)
MORE = (1, 2, 4)  # sizes of a new tier, in twentieths of the targets
FEWEST = 5  # the least number of targets that a tier is measured on

Neighbours = Callable[[Policy], Iterator[Policy]]


@dataclass(frozen=True)
class Moves:
    """The changes of policies that a search tries.

    Attributes:
        steps: the policies' number of steps.
        scores: the targets' match scores.
        velocities: whether step caches may reuse velocities (see
            `Request.velocity_obstacle`).
    """

    steps: int
    scores: tuple[float, ...]
    velocities: bool = True

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """The steps at which a run may begin and a region end."""
        tenths = (round(self.steps * i / 10) for i in range(1, 10))
        return tuple(sorted({min(max(1, step), self.steps - 1) for step in tenths}))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Candidate thresholds: the score at every twentieth of the targets."""
        scores = np.quantile(self.scores, np.linspace(0, 0.95, 20))
        return tuple(sorted({threshold(value) for value in scores.tolist()}))

    @property
    def caches(self) -> tuple[StepCache, ...]:
        """The step caches to try; none skips the first step or the last.

        Lists of skipped steps come first, shortest first, then `CACHES`.
        """
        every = {tuple(range(n - 1, self.steps - 1, n)) for n in EVERY}
        lists = sorted({(), *every}, key=lambda steps: (len(steps), steps))
        every_cache = (*map(skipping, lists), *CACHES)
        if self.velocities:
            return every_cache
        return tuple(x for x in every_cache if not reuses_velocities(x))

    def cautious(self, policy: Policy) -> Policy:
        """The start of a search when no better one is allowed.

        Its tiers reuse as few steps as possible, have no region, and serve only the
        targets with the best scores.
        """
        first = self.stage_ends[0]
        tiers = tuple(
            replace(tier, reuse_until=first, region_until=first)
            for tier in policy.tiers
        )
        return self.spread(replace(policy, tiers=tiers), 0.75)

    def spread(self, policy: Policy, above: float = 0.0) -> Policy:
        """The policy with new thresholds that divide the targets evenly by score.

        Its own thresholds may be for the scores of another text encoder. A share
        `above` of the targets, with the lowest scores, becomes misses. Of tiers with
        equal thresholds, the lowest is kept.
        """
        count, even = len(policy.tiers), dict[float, Tier]()
        shares = above + (1 - above) * np.arange(1, count + 1) / (count + 1)
        for share, tier in zip(shares.tolist(), policy.tiers, strict=True):
            least = threshold(float(np.quantile(self.scores, share)))
            even.setdefault(least, replace(tier, least=least))
        tiers = tuple(even.values())
        return self.measured(replace(policy, tiers=tiers))

    def raised(self, policy: Policy) -> Iterator[Policy]:
        """Policies whose lowest threshold is raised to ever higher values of the grid.

        More and more of the lowest scores miss. Ends when too few targets are left for
        a tier.
        """
        for place in self.thresholds:
            if policy.tiers and place > policy.tiers[0].least:
                lowest, *others = policy.tiers
                if not others or place < others[0].least:
                    others = [replace(lowest, least=place), *others]
                policy = self.measured(replace(policy, tiers=tuple(others)))
                if policy.tiers:
                    yield policy

    def gentler(self, policy: Policy) -> Iterator[Policy]:
        """Policies whose tiers all begin ever earlier on the grid, down to its first
        step."""
        while True:
            places = [adjacent(self.stage_ends, x.reuse_until) for x in policy.tiers]
            lower = {i: place[0] for i, place in enumerate(places)}
            earlier = next(self._with(policy, "reuse_until", lower), None)
            if earlier is None:
                return
            policy = earlier
            yield policy

    def measured(self, policy: Policy) -> Policy:
        """The policy without tiers that too few targets reach.

        The targets of a dropped tier fall to the tier below it, or miss.
        """
        while policy.tiers:
            reached = [policy.plan(score) for score in self.scores]
            few = [x for x in policy.tiers if reached.count(x) < FEWEST]
            if not few:
                break
            tiers = tuple(tier for tier in policy.tiers if tier != few[-1])
            policy = replace(policy, tiers=tiers)
        return policy

    def coordinates(self) -> dict[str, Neighbours]:
        """The coordinates of a search: by name, the policies with one setting changed.

        They are ordered by expected gain per run. Step caches come first: they save
        most, and make all later runs faster. A changed threshold needs new runs of few
        targets only. Then come the settings that change a tier's cost. How regions are
        found and run, and the gains, come last: they change the cost little.
        """
        return {
            "cache": self._cached,
            "least": self._tiers("least", self.thresholds, True),
            "tiers": self._below,
            "active": self._tiers("active", ACTIVE, True),
            "reuse_until": self._tiers("reuse_until", self.stage_ends, True),
            "region_until": self._tiers("region_until", self.stage_ends, True),
            "found_by": self._regions("found_by", lambda now: FINDERS),
            "halo": self._regions("halo", lambda now: adjacent(HALO, now)),
            "context": self._regions("context", lambda now: CONTEXTS),
            "reach": self._regions("reach", lambda now: adjacent(REACH, now)),
            "key_gain": self._tiers("key_gain", KEY_GAINS, False),
            "output_gain": self._tiers("output_gain", OUTPUT_GAINS, False),
            "limit": self._regions("limit", lambda now: adjacent(LIMITS, now)),
        }

    def _tiers(self, name: str, grid: Sequence[Any], alone: bool) -> Neighbours:
        """Moves a field one grid value down or up in all tiers.

        If `alone`, it is also moved in each tier by itself.
        """

        def neighbours(policy: Policy) -> Iterator[Policy]:
            places = [adjacent(grid, getattr(tier, name)) for tier in policy.tiers]
            groups = [range(len(places))]
            groups += [range(i, i + 1) for i in groups[0]] if alone else []
            for group, way in itertools.product(groups, (0, 1)):
                yield from self._with(policy, name, {i: places[i][way] for i in group})

        return neighbours

    def _below(self, policy: Policy) -> Iterator[Policy]:
        """Adds a tier below the lowest one, with as little reuse as possible.

        Yields nothing if the lowest tier already reuses as little.
        """
        lowest, first = policy.tiers[0], self.stage_ends[0]
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
        """Yields the policy with a field of some of its tiers changed, if it is valid.

        A value of None leaves a tier unchanged.

        A policy without tiers is not yielded: it loses nothing, and no move leads back
        from it.
        """
        try:
            tiers = [
                tier if values.get(i) is None else replace(tier, **{name: values[i]})
                for i, tier in enumerate(policy.tiers)
            ]
            changed = self.measured(replace(policy, tiers=tuple(tiers)))
        except ValueError:
            return  # for example, tiers that do not rise
        if changed.tiers and changed != policy:
            yield changed

    def _regions(self, name: str, values: Callable[[Any], Sequence[Any]]) -> Neighbours:
        """Moves a field of the regions; `values` returns candidates for its value."""

        def neighbours(policy: Policy) -> Iterator[Policy]:
            now = getattr(policy.regions, name)
            others = (value for value in values(now) if value not in (now, None))
            for value in others:
                regions = replace(policy.regions, **{name: value})
                yield replace(policy, regions=regions)

        return neighbours

    def _cached(self, policy: Policy) -> Iterator[Policy]:
        """Policies with other step caches of `caches`.

        First come those after the policy's own, the last one first, and then the one
        before it. A step cache that is not among them is left as it is.
        """
        if policy.cache not in self.caches:
            return
        now = self.caches.index(policy.cache)
        before, after = self.caches[:now], self.caches[now + 1 :]
        for cache in (*reversed(after), *before[-1:]):
            yield replace(policy, cache=cache)


def adjacent(grid: Sequence[Any], value: Any) -> tuple[Any, Any]:
    """The next lower and the next higher value on a rising grid, each None if none."""
    lower = [x for x in grid if x < value]
    higher = [x for x in grid if x > value]
    return (lower[-1] if lower else None), (higher[0] if higher else None)


def threshold(score: float) -> float:
    """A score rounded down to three decimals, at least 0, as a threshold."""
    return max(0.0, math.floor(score * 1000) / 1000)
