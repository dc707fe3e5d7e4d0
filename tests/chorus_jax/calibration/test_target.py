"""Targets and the sources that a cache has for them."""

import logging

from chorus_jax.calibration.target import nearest
from chorus_jax.engine import Cache, Engine, Pipeline, Reuse
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policy import Policy
from tests.chorus_jax.families.toy.model import ToyModel
from tests.chorus_jax.families.toy.test_seams import BLUE, asked


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
