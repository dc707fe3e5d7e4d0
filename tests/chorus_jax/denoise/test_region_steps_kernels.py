"""Regions with the kernels give the same videos."""

import numpy as np
import pytest

from chorus_jax.denoise.plan import StepPlan
from kernels_pallas import dispatch
from tests.chorus_jax.denoise.tiny import (
    STEPS,
    TILES,
    conditions,
    earlier,
    gains,
    hit,
    region,
)

CONTEXTS = {"held": {}, "sampled": {"context": "sampled", "sampled": 2}}


@pytest.mark.parametrize(
    ("implementation", "context"),
    [
        ("reference", "held"),
        ("tpu_interpreted", "sampled"),
        ("gpu_interpreted", "held"),
    ],
)
def test_the_kernels_change_nothing(wide, implementation, context):
    plan = StepPlan.staged(STEPS, 2, 5, region(3, **CONTEXTS[context]))
    given, source = earlier(wide, 2, 5)
    want = hit(wide, given, source, plan, gains=gains(1.5, 1.2))
    with dispatch.forced(implementation):
        ours = hit(wide, given, source, plan, gains=gains(1.5, 1.2))
    np.testing.assert_array_equal(ours.region.chosen.tiles, want.region.chosen.tiles)
    np.testing.assert_allclose(ours.latents, want.latents, atol=1e-4)


@pytest.mark.parametrize("implementation", ["tpu_interpreted"])
def test_the_equalities_hold_with_the_kernels(wide, implementation):
    """All tiles active are a full step, and unit gains are none."""
    _, source = earlier(wide, 2, 4)
    given = conditions(wide, seed=1)
    active = StepPlan.staged(STEPS, 2, 4, region(TILES))
    with dispatch.forced(implementation):
        whole = hit(wide, given, source, StepPlan.staged(STEPS, 2, 4, None))
        every, unit = (
            hit(wide, given, source, active, gains=x) for x in (None, gains())
        )
    np.testing.assert_allclose(every.latents, whole.latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(unit.latents, every.latents)
