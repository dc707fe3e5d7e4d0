"""Requests for tiny videos, and a policy that finds sources for them."""

import math

from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.request import Request

STEPS = 6
# No limit: random weights know nothing of the straight path of their source.
REGIONS = Regions(reach=0, limit=math.inf)
RED = "a red circle moves left on a gray background"
BLUE = "a blue circle moves left on a gray background"

COLOURS = ("green", "white", "black", "pink", "brown", "violet", "orange", "yellow")
OTHERS = [BLUE.replace("blue", colour) for colour in COLOURS]


def policy(request=None):
    """Hits from a score of 0.3 on; random weights tell prompts apart badly."""
    tiers = (Tier(0.3, 2, 4, active=0.5, key_gain=1.5, output_gain=1.2),)
    return Policy(STEPS, tiers, REGIONS)


def small(prompt=RED, **changes):
    """A request for a small video."""
    fields = dict(frames=5, height=32, width=64, steps=STEPS, solver="euler")
    return Request(prompt, **{**fields, "guidance_scale": 3.0, **changes})
