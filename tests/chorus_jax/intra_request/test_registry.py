"""Step caches by name."""

import json

import pytest

from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache, registry
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.intra_request.tea import TeaCache

CASES = {
    "every": EveryStep(),
    "skip:steps=(2,4)": SkipSteps((2, 4)),
    "skip:steps=()": SkipSteps(()),
    "tea:threshold=.5,coefficients=(1.0, 0.0)": TeaCache(0.5, (1.0, 0.0)),
    "tea:threshold=.5,coefficients=(1.0,),second=(2.0,),switch=3": (
        TeaCache(0.5, (1.0,), second=(2.0,), switch=3)
    ),
    "tea: threshold = 0.5 , coefficients = [1.0, 0.0], signal = modulation, last=0": (
        TeaCache(0.5, (1.0, 0.0), "modulation", last=0)
    ),
    "tea:variant=wan21_t2v_1_3b,threshold=.08": TeaCache.published(
        "wan21_t2v_1_3b", 0.08
    ),
    "tea:variant=wan21_t2v_14b,threshold=.2,retention=true": TeaCache.published(
        "wan21_t2v_14b", 0.2, retention=True
    ),
    "mag:variant=wan21_t2v_1_3b,threshold=.12,longest=4": MagCache.published(
        "wan21_t2v_1_3b", 0.12, longest=4
    ),
    "taylor:interval=4": TaylorSeer(interval=4),
    "first-block:threshold=.1,longest=none": FirstBlock(0.1),
    "mixture:steps=(taylor:interval=2,order=2),within=(guidance:interval=3)": Mixture(
        TaylorSeer(interval=2, order=2), GuidanceCache(interval=3)
    ),
    "mixture: steps = skip:steps=(1,), within = every": Mixture(
        SkipSteps((1,)), EveryStep()
    ),
}


@pytest.mark.parametrize("text", CASES)
def test_a_line_is_a_cache(text):
    cache = registry.parse(text)
    assert cache == CASES[text] and isinstance(cache, StepCache)
    assert hash(cache) == hash(CASES[text])


@pytest.mark.parametrize("cache", CASES.values(), ids=str)
def test_what_is_described_is_made_again(cache):
    fields = json.loads(json.dumps(registry.describe(cache)))
    assert registry.make(fields.pop("name"), fields) == cache


@pytest.mark.parametrize(
    "text, message",
    [
        ("no", "no step cache is named 'no': choose one of every, skip, tea, mag"),
        ("", "no step cache is named ''"),
        ("skip", "the step cache 'skip' has the fields steps, got {}"),
        ("skip:2,4", "expected NAME:option=value,..., got 'skip:2,4'"),
        ("every:steps=(1,)", "the step cache 'every' has the fields none, got"),
        ("tea:level=1", "or a published variant, got {'level': 1}"),
        ("tea:variant=wan,threshold=.1", "published for 'wan': choose one of"),
        (
            "tea:variant=wan21_t2v_14b",
            "by a published variant .* fields .* 'threshold'",
        ),
        ("taylor:interval=", "interval of taylor must be a whole number, got ''"),
        ("taylor:interval=2.5", "must be a whole number, got 2.5"),
        ("sea:threshold=high", "threshold of sea must be a number, got 'high'"),
        ("mag:variant=wan21_t2v_1_3b,threshold=.12,anywhere=no", "must be true or fal"),
        ("tea:variant=wan21_t2v_1_3b,threshold=.08,retention=no", "must be true or f"),
        ("mag:variant=wan21_t2v_1_3b,threshold=.1,longest=2.5", "must be a whole numb"),
        ("tea:variant=wan21_t2v_1_3b,threshold=low", "threshold of tea must be a numb"),
        ("first-block:longest=2.5", "longest of first-block must be a whole number"),
        ("taylor:interval=true", "must be a whole number, got True"),
        ("taylor:order=99", "the order of a series is 0 to 8, got 99"),
        ("hicache:order=99", "expected an order of 1 to 8 and"),
        ("taylor:what=2", "interval, first, .* got {'what': 2}: there is no 'what'"),
        ("skip:steps=(3,2)", "rising from 0"),
        ("mixture:steps=(no),within=every", "no step cache is named 'no'"),
        (
            "mixture:steps=3,within=every",
            "steps must be a step cache, such as .* got 3",
        ),
        ("mixture:steps=taylor", "'mixture' has the fields steps, within, got"),
    ],
)
def test_lines_that_name_none_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        registry.parse(text)
