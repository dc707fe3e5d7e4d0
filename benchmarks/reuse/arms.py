"""The compared policies (arms): a base policy, and copies without some of its parts.

    chorus_cache  the base policy
    chorus       without its step cache
    key_gain     also without regions: all tokens run in stage 2
    output_gain  also without the gain of keys
    stage1       also without the gain of the output: stage 2 runs like stage 3

If several arms compute the same (see `tiers.effective`), only one of them is run: for
example, if gains are 1 or no step runs a region. Further arms are `nirvana`, with
NIRVANA's table (see `policies.nirvana`); `full`, which reuses nothing; and two that
cost as much as `chorus` (see `costs`): `fewer` runs fewer full steps without reuse, and
`nirvana_equal` has stage 1 alone, like NIRVANA, up to a step that leaves as many full
steps.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

from chorus_jax.calibration.tiers import tier_at, with_tiers
from chorus_jax.inter_request.policy.policies import nirvana
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.intra_request import EveryStep
from chorus_jax.request import Request

FULL, FEWER, EQUAL = "full", "fewer", "nirvana_equal"
WHOLE, CACHED = "chorus", "chorus_cache"
LADDER = ("stage1", "output_gain", "key_gain", WHOLE, CACHED)
ARMS = (FULL, FEWER, "nirvana", EQUAL, *LADDER)

# Points of the curve. Steps are shares of all steps: K1 (`reuse_until`) of stage 1
# alone; K1, K2 (`region_until`) and the active share of the tokens; the number of steps
# without reuse; K1 and K2 of the points with gains, which run all tokens. Last, the
# gains of these points, of keys and of the output.
CURVE_STAGE1 = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)
CURVE_CHORUS = (
    *((0.2, 0.8, 0.5), (0.2, 0.8, 0.25), (0.4, 0.8, 0.5), (0.4, 0.9, 0.5)),
    *((0.4, 0.9, 0.25), (0.6, 0.9, 0.5), (0.6, 0.9, 0.25)),
)
CURVE_FEWER = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
GAINS_AT = (0.4, 0.9)
CURVE_GAINS = ((1.5, 1.0), (2.0, 1.0), (3.0, 1.0), (1.0, 1.25))


def policies(base: Policy) -> dict[str, Policy]:
    """The arms that an engine runs, by name."""
    without_cache = replace(base, cache=EveryStep())
    key_gain = with_tiers(without_cache, active=1.0)
    output_gain = with_tiers(key_gain, key_gain=1.0)
    stage1 = with_tiers(output_gain, output_gain=1.0)
    ladder = (stage1, output_gain, key_gain, without_cache, base)
    return {
        FULL: Policy(base.steps, ()),
        "nirvana": nirvana(base),
        **dict(zip(LADDER, ladder, strict=True)),
    }


def stage1_at(base: Policy, first: int) -> Policy:
    """The policy of stage 1 alone up to step `first`, for every score; 0: no reuse."""
    return with_only(base, *([Tier(0.0, first, first)] if first else []))


def with_only(base: Policy, *tiers: Tier) -> Policy:
    """The base policy with these tiers, and no step cache."""
    return Policy(base.steps, tiers, base.regions, look=base.look)


def curve(base: Policy) -> dict[str, Policy]:
    """The policies of the curve's points by name, with one tier for every score."""
    if not base.tiers:
        return {}
    points = itertools.chain(_stage1(base), _chorus(base), _gains(base))
    return {
        f"curve_{name}": with_only(base, tier)
        for name, tier in dict(points).items()
        if tier.region_until < base.steps
    }


def _stage1(base: Policy) -> Iterator[tuple[str, Tier]]:
    for share in CURVE_STAGE1:
        first = scaled(share, base.steps)
        yield f"stage1_{first}", Tier(0.0, first, first)


def _chorus(base: Policy) -> Iterator[tuple[str, Tier]]:
    """Chorus points of the curve, with the gains of the base policy's highest tier."""
    like = base.tiers[-1]
    for *shares, active in CURVE_CHORUS:
        first, last = (scaled(share, base.steps) for share in shares)
        if last - first > 1:  # else no step is regional
            tier = Tier(0.0, first, last, active, like.key_gain, like.output_gain)
            yield f"chorus_{first}_{last}_{active:g}", tier


def _gains(base: Policy) -> Iterator[tuple[str, Tier]]:
    like = tier_at(base.steps, *GAINS_AT, active=1.0)
    first, last = like.reuse_until, like.region_until
    for key, output in CURVE_GAINS if last > first else ():
        tier = replace(like, key_gain=key, output_gain=output)
        yield f"gains_{first}_{last}_{key:g}_{output:g}", tier


def scaled(share: float, steps: int) -> int:
    """The number of steps nearest to a share of `steps`, at least 1."""
    return max(1, round(share * steps))


def curve_steps(steps: int) -> dict[str, int]:
    """The curve's points without reuse: numbers of full steps below `steps`."""
    counts = sorted({scaled(share, steps) for share in CURVE_FEWER})
    return {f"curve_fewer_{count}": count for count in counts if count < steps}


def with_fewer(request: Request, steps: int) -> Request:
    """The request with this number of steps; a list of sigmas becomes evenly spaced."""
    if request.step_count == steps:
        return request
    if isinstance(request.steps, int):
        return replace(request, steps=steps)
    return replace(request, steps=tuple(1 - i / steps for i in range(steps)))
