"""Step caches by quality, in requests."""

import pytest

from chorus_jax.intra_request import EveryStep, SkipSteps, registry
from chorus_jax.intra_request.qualities import QUALITIES, named
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.request import Request, same_program


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
    ],
)
def test_impossible_step_caches_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Request("a", **fields)


def test_few_steps_are_lossless_only():
    assert Request("a", steps=4, step_cache="lossless").own_cache == EveryStep()
    with pytest.raises(ValueError, match="no quality is named 'best': choose one of"):
        named("best", 50)


def test_requests_of_a_batch_agree_on_it():
    with pytest.raises(ValueError, match="step cache"):
        same_program((Request("a"), Request("a", step_cache="fast")))
