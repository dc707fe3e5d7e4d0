"""Targets and the sources that a cache has for them."""

import logging

from chorus_jax.calibration.target import narrowed, nearest
from chorus_jax.engine import Cache, Engine, Pipeline, Reuse
from chorus_jax.inter_request.index import ExactIndex
from chorus_jax.inter_request.match.matching import Matcher, Rejection
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.store import Store
from tests.chorus_jax.families.toy.model import ToyModel
from tests.chorus_jax.families.toy.test_seams import BLUE, asked
from tests.chorus_jax.inter_request.match.test_matching import admit, query, unit


def test_a_look_up_needs_no_policy_and_warns_of_none(caplog):
    pipeline, cache, request = Pipeline(ToyModel()), Cache.in_memory(), asked()
    engine = Engine(pipeline, cache, Policy(request.step_count, ()))
    entry = engine.generate(request, Reuse(keep_prompt=True)).entry
    with caplog.at_level(logging.WARNING):
        match = nearest(pipeline, cache, asked(BLUE, seed=4), SecondLook())
    assert match.head.id == entry
    assert not caplog.records


def test_an_entry_that_an_engine_refuses_is_no_source():
    """The same words with another seed ask for another video."""
    pipeline, cache, request = Pipeline(ToyModel()), Cache.in_memory(), asked()
    engine = Engine(pipeline, cache, Policy(request.step_count, ()))
    engine.generate(request, Reuse(keep_prompt=True))
    same = asked(f"{request.prompt.upper()}.", seed=4)
    assert nearest(pipeline, cache, same, SecondLook()) is None


def test_a_source_does_not_depend_on_the_threshold():
    """Of one near entry and a farther one whose words are alike, the near one is it."""
    look = SecondLook(weight=0.5)
    with Store(10**7) as store:
        near = admit(store, "a cat sleeps", unit(1, 0))
        far = admit(store, "a cat runs", unit(1, 0.5))
        wide = Matcher(store, ExactIndex, candidates=1)
        narrow = Cache(store, ExactIndex)
        narrow.matcher.candidates = 1
        request = query(store, "a cat runs", unit(1, 0))
        found = {least: wide(request, look, least).head.id for least in (0.4, 0.6)}
        assert found == {0.4: near, 0.6: far}
        matcher = narrowed(narrow).matcher
        assert matcher(request, look, 0.4).head.id == near
        assert isinstance(matcher(request, look, 0.6), Rejection)
