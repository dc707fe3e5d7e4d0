"""The learning rate over a run, and which parameters are matrices."""

import jax.numpy as jnp
import pytest

from chorus_jax.training.plan import TrainingPlan, kernels


def test_the_rate_rises_stays_and_falls():
    plan = TrainingPlan(steps=100, batch=1, learning_rate=2.0, warmup=10, decay=0.2)
    rates = [float(plan.rate(jnp.int32(step))) for step in (0, 9, 50, 80, 90, 99)]
    assert rates == pytest.approx([0.2, 2.0, 2.0, 2.0, 1.0, 0.1])


def test_a_plan_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least one step"):
        TrainingPlan(steps=0, batch=1, learning_rate=1.0)


def test_stacked_layers_are_matrices_of_their_own():
    found = kernels(
        {
            "t.layers.q.kernel": jnp.zeros((5, 2, 3)),
            "v.conv.kernel": jnp.zeros((3, 3, 3, 4, 6)),
            "v.conv.bias": jnp.zeros(6),
        }
    )
    assert found["t.layers.q.kernel"] == ((1,), (2,))
    assert found["v.conv.kernel"] == ((0, 1, 2, 3), (4,))
    assert found["v.conv.bias"] is None
