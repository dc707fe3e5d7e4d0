"""Step caches by quality, in requests."""

import pytest

from chorus_jax.intra_request import EveryStep, SkipSteps, registry
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.qualities import QUALITIES, named
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.request import Request, same_program

PLANNED = PlannedTokens((1.0, 1.0) + (0.5, 0.0) * 24)
RESIDUAL = TaylorSeer(2, grain="residual")


def test_lower_qualities_bear_more_change():
    lossless, *others = QUALITIES.values()
    assert lossless == EveryStep()
    thresholds = [cache.threshold for cache in others]
    assert thresholds == sorted(set(thresholds)) and thresholds[0] > 0
    assert not set(QUALITIES) & set(registry.CACHES)


@pytest.mark.parametrize(
    ("given", "cache"),
    [
        (None, None),
        ("fast", QUALITIES["fast"]),
        ("taylor:interval=2", TaylorSeer(2)),
        (SkipSteps((1,)), SkipSteps((1,))),
    ],
)
def test_a_request_names_its_step_cache(given, cache):
    assert Request("a", step_cache=given).own_cache == cache


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"step_cache": "tee"}, "no step cache is named 'tee': choose one of every"),
        ({"step_cache": 3}, "must be a quality, a line such as"),
        ({"step_cache": "fast", "steps": 4}, "for 16 steps or more, this schedule has"),
        ({"step_cache": "fast", "tokens": "hsa-50"}, "do not go together"),
        ({"step_cache": RESIDUAL, "tokens": "hsa-50"}, "such as spectrum, taylor"),
        ({"step_cache": "racer", "tokens": "hsa-50"}, "do not go together"),
        ({"step_cache": PLANNED, "tokens": "hsa-50"}, "does not go together with oth"),
        ({"step_cache": PLANNED, "steps": 20}, "for 50 steps, but the schedule has 20"),
    ],
)
def test_impossible_step_caches_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Request("a", **fields)


def test_a_step_cache_of_velocities_goes_with_tokens_and_may_bring_them():
    both = Request("a", step_cache="spectrum", tokens="hsa-50")
    assert both.token_budgets == Request("a", tokens="hsa-50").token_budgets
    assert Request("a", step_cache=PLANNED).token_budgets == PLANNED.budgets


def test_few_steps_are_lossless_only():
    assert Request("a", steps=4, step_cache="lossless").own_cache == EveryStep()
    with pytest.raises(ValueError, match="no quality is named 'best': choose one of"):
        named("best", 50)


def test_requests_of_a_batch_agree_on_it():
    with pytest.raises(ValueError, match="step cache"):
        same_program((Request("a"), Request("a", step_cache="fast")))
