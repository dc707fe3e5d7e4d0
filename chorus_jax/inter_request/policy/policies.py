"""Policies: NIRVANA's, as a baseline, one of our own, and those that were measured."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chorus_jax.inter_request.policy import policy_file
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.inter_request.policy.policy_file import Measured

NIRVANA = Policy(
    steps=50,
    tiers=(
        Tier(least=0.65, reuse_until=5, region_until=5),
        Tier(least=0.75, reuse_until=10, region_until=10),
        Tier(least=0.85, reuse_until=15, region_until=15),
        Tier(least=0.90, reuse_until=20, region_until=20),
        Tier(least=0.95, reuse_until=25, region_until=25),
    ),
    keep=(5, 10, 15, 20, 25),
)
"""NIRVANA's steps K of 50 by the cosine of CLIP text embeddings (arXiv 2312.04429).

No stage 2. The table is as others report it, the paper's text was not at hand. There a
score must exceed a threshold, here it may equal it.
"""

# Least scores from NIRVANA, with less of stage 1, since videos bear less of it. Stage 2
# and gains from a trial on a small model of moving shapes: half of the tokens in 20
# region steps cost no accuracy, a key gain of 1.5 helped (with which the lowest tier
# begins here), output gains of 1.3 and more took detail away.
OURS = Policy(
    steps=50,
    tiers=(
        Tier(0.65, 5, 20, active=0.5, key_gain=2.5),
        Tier(0.75, 10, 30, active=0.5, key_gain=2.5),
        Tier(0.85, 15, 40, active=0.5, key_gain=2.5),
        Tier(0.90, 20, 40, active=0.5, key_gain=2.5),
    ),
    keep=(5, 10, 15, 20, 30, 40),
)


def default_policy(steps: int) -> Policy:
    """A starting point of our own, not the paper's, and not calibrated for any model.

    Made for 50 steps and scaled to others.
    """
    return OURS.for_steps(steps)


def nirvana(beside: Policy) -> Policy:
    """NIRVANA's steps at the scores of another policy, to be compared with that.

    Its thresholds are for CLIP's cosine: here the lowest is the other policy's, and the
    others lie between that and 1 as they do in its table. So both policies meet the
    same hits. Beside one without tiers it has its table's thresholds.
    """
    table = replace(NIRVANA.for_steps(beside.steps), look=beside.look)
    if not beside.tiers:
        return table
    scale = (1 - beside.tiers[0].least) / (1 - table.tiers[0].least)
    tiers = (
        replace(tier, least=round(1 - (1 - tier.least) * scale, 4))
        for tier in table.tiers
    )
    return replace(table, tiers=tuple(tiers))


def calibrated_file(name: str, steps: int) -> Path:
    """The file in which `benchmarks.calibrate` writes the policy of these weights and
    steps."""
    return Path(__file__).parent / "calibrated" / f"{name}_{steps}.json"


def calibrated(weights: Mapping[str, str], steps: int) -> Measured | None:
    """The policy that was measured on weights with these fingerprints, else None.

    `weights` are those of `Pipeline.fingerprints`.
    """
    of_any = calibrated_file("*", steps)
    for file in sorted(of_any.parent.glob(of_any.name)):
        measured = policy_file.read(file)
        if measured.weights == weights:
            return measured
    return None
