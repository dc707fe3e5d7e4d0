"""Queries of an engine, with which a prompt is matched."""

import math

import numpy as np
import pytest

from chorus_jax.engine import Cache, Engine, Pipeline
from chorus_jax.inter_request.match.matching import Match, Rejection
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.request import Request


@pytest.fixture
def engine(weights):
    cache = Cache.in_memory()
    yield Engine(Pipeline.load(weights), cache, Policy(2, ()))
    cache.close()


def small(prompt):
    return Request(prompt, frames=5, height=32, width=64, steps=2, seed=0)


def test_a_query_finds_what_a_request_left_whatever_its_score(engine):
    entry = engine.generate(small("a red circle moves left")).entry
    query = engine.query(small("two cats"))
    assert np.linalg.norm(query.embedding) == pytest.approx(1, abs=1e-5)
    assert len(query.words) == len(query.meanings) == 2
    found = engine.cache.matcher(query, SecondLook(), least=-math.inf)
    assert isinstance(found, Match) and found.head.id == entry
    other = engine.query(small("two cats"), "another namespace")
    assert isinstance(
        engine.cache.matcher(other, SecondLook(), least=-math.inf), Rejection
    )
