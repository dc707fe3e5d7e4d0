"""Step caches' states: one for each cache and transformer."""

from chorus_jax.denoise.plan import StepPlan, Stretch
from chorus_jax.denoise.program import slots
from chorus_jax.intra_request import SkipSteps


def test_two_transformers_share_no_cache_state():
    cache = SkipSteps((1, 3))
    high = Stretch(0, 2, cache=cache, expert="high")
    low = Stretch(2, 4, cache=cache, expert="low")
    assert slots(StepPlan(4, (high, low))) == ((cache, "high"), (cache, "low"))


def test_equal_caches_of_one_transformer_share_a_state():
    cache = SkipSteps((1, 3))
    plan = StepPlan(4, (Stretch(0, 2, cache=cache), Stretch(2, 4, cache=cache)))
    assert slots(plan) == ((cache, "transformer"),)
