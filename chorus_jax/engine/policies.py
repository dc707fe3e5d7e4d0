"""Chooses a request's policy: one measured on the weights, or the default."""

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from chorus_jax.inter_request.policy.policies import calibrated, default_policy
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.policy.policy_file import Measured, Sampler
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.fitting import check_velocities
from chorus_jax.request import Request

log = logging.getLogger(__name__)

Policies = Callable[[Request], Policy]


def default_for(request: Request) -> Policy:
    """The uncalibrated default policy for a request's number of steps."""
    return default_policy(request.step_count)


def scaled(policy: Policy) -> Policies:
    """Policies that scale one policy to each request's number of steps."""
    return lambda request: policy.for_steps(request.step_count)


def requested(policies: Policies) -> Policies:
    """The policies, changed to use a request's own step cache if it names one.

    A request's token budgets take the place of the policy's step caches.

    The policies raise a ValueError for step caches that reuse velocities in a request
    with an obstacle to that (see `Request.velocity_obstacle`).
    """

    def policy(request: Request) -> Policy:
        chosen, own = policies(request), request.own_cache
        if own is None and request.tokens is not None:
            own = EveryStep()
        if own is not None:
            return replace(chosen, cache=own, miss_cache=own)
        obstacle = request.velocity_obstacle
        for cache in (chosen.cache, chosen.miss_cache):
            check_velocities(cache, obstacle)
        return chosen

    return policy


def sampler_of(request: Request) -> Sampler:
    """A request's sampler settings, on which measurements of policies depend."""
    return Sampler(request.solver, float(request.shift), float(request.guidance_scale))


def policies_for(weights: Mapping[str, str]) -> Policies:
    """The policies that were measured on these weights, by number of steps.

    For a number of steps without a measured policy the default one is taken. Once for
    each number of steps and sampler, the log warns if there is no measured policy, or
    if it was measured with another solver, shift or guidance.

    Args:
        weights: fingerprints by part (`Pipeline.fingerprints`).
    """

    @functools.cache
    def policy(steps: int, sampler: Sampler) -> Policy:
        measured = calibrated(weights, steps)
        if measured is None:
            log.warning(
                "no policy was measured on these weights at %d steps: the default one "
                "runs, and how well its scores fit is not known; measure one with "
                "`chorus calibrate MODEL --prompts FILE` and give it with --policy, or "
                "to Engine",
                steps,
            )
            return default_policy(steps)
        warn_sampler(f"the policy of {steps} steps", measured, sampler)
        return measured.policy

    return lambda request: policy(request.step_count, sampler_of(request))


def policies_of_file(measured: Measured, name: str) -> Policies:
    """The policy of a file, scaled to each request's number of steps.

    Once for each number of steps and sampler, the log warns if it was measured with
    another number of steps, solver, shift or guidance; `name` names the file.
    """

    @functools.cache
    def policy(steps: int, sampler: Sampler) -> Policy:
        if steps != measured.policy.steps:
            log.warning(
                "%s was measured at %d steps: at %d its stages are scaled, it has no "
                "step cache, and how much it may reuse is not known",
                *(name, measured.policy.steps, steps),
            )
        warn_sampler(name, measured, sampler)
        return measured.policy.for_steps(steps)

    return lambda request: policy(request.step_count, sampler_of(request))


def warn_sampler(name: str, measured: Measured, sampler: Sampler) -> None:
    """Warns if a policy was measured with another sampler."""
    if measured.sampler not in (None, sampler):
        log.warning(
            "%s was measured with %s, this request has %s: how much it may reuse is "
            "not known",
            *(name, measured.sampler, sampler),
        )
