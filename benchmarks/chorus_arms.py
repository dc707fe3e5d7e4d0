"""What is compared: one base policy, and what is left of it as parts are taken away.

    chorus_skip  the base policy
    chorus       without its list of skipped steps
    key_gain     ... without regions: all tokens run in stage 2
    output_gain  ... without the gain of keys
    stage1       ... without the gain of the output: its stage 2 is like its stage 3

Beside them are NIRVANA's table, `full`, which reuses nothing, and `fewer`: as many full
steps as `chorus` computes, without any reuse.
"""

from dataclasses import replace
from typing import Any

from chorus_jax.inter_request.policies import NIRVANA
from chorus_jax.inter_request.policy import Policy, Tier
from chorus_jax.request import Request

FULL, FEWER, WHOLE = "full", "fewer", "chorus"
LADDER = ("stage1", "output_gain", "key_gain", WHOLE, "chorus_skip")
ARMS = (FULL, FEWER, "nirvana", *LADDER)

# Points of the curve, as shares of the steps: K1 of stage 1 alone; K1, K2 and the
# active share; steps without reuse.
CURVE_STAGE1 = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)
CURVE_CHORUS = (
    *((0.2, 0.8, 0.5), (0.2, 0.8, 0.25), (0.4, 0.8, 0.5), (0.4, 0.9, 0.5)),
    *((0.4, 0.9, 0.25), (0.6, 0.9, 0.5), (0.6, 0.9, 0.25)),
)
CURVE_FEWER = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8)


def policies(base: Policy) -> dict[str, Policy]:
    """The arms that an engine runs, by name."""
    whole = replace(base, skipped=())
    key_gain = with_tiers(whole, active=1.0)
    output_gain = with_tiers(key_gain, key_gain=1.0)
    stage1 = with_tiers(output_gain, output_gain=1.0)
    ladder = (stage1, output_gain, key_gain, whole, base)
    return {
        FULL: Policy(base.steps, (), ()),
        "nirvana": replace(NIRVANA.for_steps(base.steps), look=base.look),
        **dict(zip(LADDER, ladder, strict=True)),
    }


def with_tiers(policy: Policy, **changes: Any) -> Policy:
    """The policy with these fields of all its tiers changed."""
    return replace(
        policy, tiers=tuple(replace(tier, **changes) for tier in policy.tiers)
    )


def curve(base: Policy) -> dict[str, Policy]:
    """Policies of one tier each, for every score; their gains are those of the base
    policy's highest tier. Points that fall together are one."""
    if not base.tiers:
        return {}
    like, scaled = base.tiers[-1], lambda share: max(1, round(share * base.steps))
    found = {}
    for share in CURVE_STAGE1:
        tier = Tier(0.0, scaled(share), scaled(share))
        found[f"curve_stage1_{tier.reuse_until}"] = tier
    for first, last, active in CURVE_CHORUS:
        gains = {"key_gain": like.key_gain, "output_gain": like.output_gain}
        tier = Tier(0.0, scaled(first), scaled(last), active=active, **gains)
        if tier.region_until - tier.reuse_until > 1:  # else no step is regional
            name = f"{tier.reuse_until}_{tier.region_until}_{active:g}"
            found[f"curve_chorus_{name}"] = tier
    return {
        name: Policy(base.steps, (tier,), needed(tier), base.regions, look=base.look)
        for name, tier in found.items()
        if tier.region_until < base.steps
    }


def curve_steps(steps: int) -> dict[str, int]:
    """Numbers of full steps, fewer than these."""
    counts = sorted({max(1, round(share * steps)) for share in CURVE_FEWER})
    return {f"curve_fewer_{count}": count for count in counts if count < steps}


def tier_at(steps: int, first: float, last: float, active: float) -> Tier:
    """A tier for every score, from shares of the steps; without a region if no step
    would be regional."""
    # 0.7 * 45 is not 31.5: rounded twice, as 45 * 7 / 10 is.
    step = lambda share: min(max(1, round(round(share * steps, 6))), steps - 1)
    start, end = step(first), step(last)
    return Tier(0.0, start, end, active if end > start + 1 else 1.0)


def needed(*tiers: Tier) -> tuple[int, ...]:
    """The key steps whose latents these tiers start from and fill up with."""
    return tuple(sorted({k for t in tiers for k in (t.reuse_until, t.region_until)}))


def with_fewer(request: Request, steps: int) -> Request:
    """The request over so many steps. Sigmas that were given become as many, evenly
    spaced."""
    if request.make_solver().schedule.steps == steps:
        return request
    if isinstance(request.steps, int):
        return replace(request, steps=steps)
    return replace(request, steps=tuple(1 - i / steps for i in range(steps)))
