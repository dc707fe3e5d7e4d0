"""A tiny pipeline, and an engine that finds sources for nearly all requests."""

from dataclasses import replace

import pytest

from chorus_jax.engine import Cache, Engine
from chorus_jax.engine.pipeline import Pipeline
from tests.chorus_jax.engine.tiny import policy


@pytest.fixture(scope="session")
def tiled_pipeline(weights):
    made = Pipeline.load(weights)
    # The usual tile would be the whole of so small a video.
    sizes = made.model.sizes
    transformer = replace(sizes.transformer, tile=(1, 2, 2))
    made.model.sizes = replace(sizes, transformer=transformer)
    return made


@pytest.fixture
def engine(tiled_pipeline):
    cache = Cache.in_memory()
    yield Engine(tiled_pipeline, cache, policy)
    cache.close()
