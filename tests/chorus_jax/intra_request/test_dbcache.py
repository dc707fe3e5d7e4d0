"""DBCache: the last layers run on what the skipped ones would have given them."""

import pytest

from chorus_jax.intra_request.dbcache import DBCache
from tests.chorus_jax.intra_request.fake import run

MANY = 100.0  # a threshold that nothing reaches


def test_the_last_layers_run_in_every_step():
    """A call of `blocks` adds 10 i: three in step 2, two and step 2's in step 3."""
    cache = DBCache(MANY, front=1, back=1, first=1)
    velocities, held, _ = run(cache, 2, 5, steps=8)
    assert velocities[:, 0].tolist() == [2 + 60, 3 + 60 + 20, 4 + 80 + 20]
    assert held[:, 0].tolist() == [3, 3, 3]


def test_without_last_layers_it_is_another_cache():
    with pytest.raises(ValueError, match="without any take first-block"):
        DBCache(back=0)
