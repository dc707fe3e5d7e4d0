"""Policies: NIRVANA's (a baseline), an uncalibrated default, and calibrated ones."""

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
)
"""NIRVANA's steps K of 50 by the cosine of CLIP text embeddings (arXiv 2312.04429).

No stage 2. The table is as others report it, the paper's text was not at hand. There a
score must exceed a threshold, here it may equal it; and a hit resumes the source's own
latents of step K, here it begins from its clean latents with new noise, as all hits do.
"""

# Least scores from NIRVANA, with fewer reused steps, since videos tolerate less reuse
# than images. Region steps and gains come from a trial on a small model of moving
# shapes: half of the tokens in 20 region steps cost no accuracy, a key gain of 1.5
# helped (the gain at which the lowest tier begins here), and output gains of 1.3 and
# more removed detail.
OURS = Policy(
    steps=50,
    tiers=(
        Tier(0.65, 5, 20, active=0.5, key_gain=2.5),
        Tier(0.75, 10, 30, active=0.5, key_gain=2.5),
        Tier(0.85, 15, 40, active=0.5, key_gain=2.5),
        Tier(0.90, 20, 40, active=0.5, key_gain=2.5),
    ),
)


def default_policy(steps: int) -> Policy:
    """The uncalibrated default policy, scaled from 50 steps to `steps`.

    It is our own choice, not the paper's, and not calibrated for any model.
    """
    return OURS.for_steps(steps)


def nirvana(beside: Policy) -> Policy:
    """NIRVANA's policy, with thresholds rescaled to the scores of another policy.

    NIRVANA's own thresholds are for CLIP's cosine. Here they are rescaled linearly, so
    that the lowest equals the lowest threshold of `beside` and 1 stays 1. Both policies
    then have the same hits and can be compared.

    Args:
        beside: the other policy; if it has no tiers, thresholds are not rescaled.
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
    """The file to which `benchmarks.calibrate` writes the policy it finds.

    The package contains such files for the shipped weights, at 4 and at 50 steps.

    Args:
        name: the name of the weights.
        steps: the number of steps.
    """
    return Path(__file__).parent / "calibrated" / f"{name}_{steps}.json"


def calibrated(weights: Mapping[str, str], steps: int) -> Measured | None:
    """The calibrated policy for these weights and steps, or None if there is none.

    Args:
        weights: fingerprints by part (`Pipeline.fingerprints`).
        steps: the number of steps.
    """
    of_any = calibrated_file("*", steps)
    for file in sorted(of_any.parent.glob(of_any.name)):
        measured = policy_file.read(file)
        if measured.weights == weights:
            return measured
    return None
