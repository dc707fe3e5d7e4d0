"""Targets: requests, each with the source that a filled cache has for it."""

import math
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.engine import (
    Cache,
    Denoised,
    Engine,
    Event,
    Ledger,
    Pipeline,
    Result,
    Reuse,
    planned,
)
from chorus_jax.engine.sources import refusal
from chorus_jax.inter_request.match.matching import Match, Rejection
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.request import Request


@runtime_checkable
class RunTarget(Protocol):
    """A request, and the source that the matcher finds for it under any policy.

    Attributes:
        number: identifies the target.
        request: the request. Its seed differs from the seeds of all sources, so that a
            full run and a run with reuse draw the same noise, unlike the source's.
        namespace: the namespace of its sources.
        source: the id of the source's entry; None without a source.
        score: the score of the match; None without a source.
    """

    @property
    def number(self) -> int: ...
    @property
    def request(self) -> Request: ...
    @property
    def namespace(self) -> str: ...
    @property
    def source(self) -> str | None: ...
    @property
    def score(self) -> float | None: ...


def tier_of(target: RunTarget, policy: Policy) -> Tier | None:
    """The tier of a policy that a target reaches; None for a miss."""
    return None if target.score is None else policy.plan(target.score)


def narrowed(cache: Cache) -> Cache:
    """The cache, whose matcher now compares only the entries that it compares at first.

    A matcher goes on to farther entries until one reaches the policy's lowest
    threshold. Then the source of a target would depend on the policy.
    """
    cache.matcher.most = cache.matcher.candidates
    return cache


def nearest(
    pipeline: Pipeline,
    cache: Cache,
    request: Request,
    look: SecondLook,
    namespace: str = "default",
) -> Match | None:
    """The entry of a cache with the best score for a request, however low.

    Entries that an engine refuses as sources are left out.
    """
    engine = Engine(pipeline, cache, Policy(request.step_count, ()))
    query = engine.query(request, namespace)
    match = cache.matcher(query, look, -math.inf, refusal)
    return None if isinstance(match, Rejection) else match


class PolicyArm:
    """Makes targets' videos with one policy, without writing to the cache."""

    def __init__(self, pipeline: Pipeline, cache: Cache, policy: Policy):
        self.pipeline, self.cache, self.policy = pipeline, cache, policy
        self.engine = Engine(pipeline, cache, policy)

    def plan(self, target: RunTarget) -> StepPlan | None:
        """The step plan of a target; None for a miss."""
        tier = tier_of(target, self.policy)
        if tier is None:
            return None
        return planned(self.policy, tier, self._geometry(target).region_tiling)

    def equivalents(self, target: RunTarget) -> float:
        """The least cost of a target's run in full steps' worth, before the run.

        The run costs more if videos differ beyond its region, since all tokens run
        then.
        """
        plan, geometry = self.plan(target), self._geometry(target)
        if plan is None:
            return float(self.policy.steps)
        return equivalents(plan, geometry.tiling.count, geometry.given_tiles)

    def run(self, target: RunTarget) -> tuple[Result, Denoised]:
        """Runs a target; returns the result and the event of its denoising.

        Raises:
            RuntimeError: if the engine used another source or tier than expected, or
                replayed a stored video, so that figures would describe another run.
        """
        runs: list[Denoised] = []

        def observe(event: Event) -> None:
            if isinstance(event, Denoised):
                runs.append(event)

        reuse = Reuse(write=False, namespace=target.namespace)
        result = self.engine.generate(
            target.request, reuse, observer=observe, every=None
        )
        self.check(target, result.ledger)
        return result, runs[-1]

    def check(self, target: RunTarget, ledger: Ledger) -> None:
        """Raises a RuntimeError unless the engine used the expected source and tier."""
        tier = tier_of(target, self.policy)
        expected: tuple[object, ...] = ("miss", None, 0, 0)
        if tier is not None:
            steps = (tier.reuse_until, tier.region_until)
            expected = ("semantic", target.source, *steps)
        got = (ledger.kind, ledger.source, ledger.reuse_until, ledger.region_until)
        if got != expected:
            raise RuntimeError(f"expected {expected} of {target}, got {ledger}")

    def _geometry(self, target: RunTarget) -> Any:
        return self.pipeline.model.geometry(target.request)


def beyond_region(run: Denoised) -> float | None:
    """How much a target differs from its source outside the region (see
    `region.beyond`); None for a run without a region."""
    return None if run.chosen is None else float(run.chosen.beyond[0])


def unlimited(plan: StepPlan) -> StepPlan:
    """The plan without the limit above which all tokens are run."""
    stretches = [
        replace(x, region=x.region and replace(x.region, limit=math.inf))
        for x in plan.stretches
    ]
    return replace(plan, stretches=tuple(stretches))


def way(
    policy: Policy, plan: StepPlan | None, target: RunTarget
) -> tuple[Hashable, ...]:
    """A key of everything but the target that determines a hit: plan and gains.

    Gains count only if there are region steps. The key is empty for a miss.
    """
    tier = tier_of(target, policy)
    if tier is None or plan is None or target.score is None:
        return ()
    gains = (tier.key_gain, tier.output_gain)
    if tier.region_until == tier.reuse_until or gains == (1, 1):
        return plan, (1, 1)
    # Gains fall until `region_until`, which a plan without a region does not contain.
    return plan, gains, target.score, tier.region_until
