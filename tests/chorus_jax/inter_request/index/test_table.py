"""The table of vectors: cosines that depend on nothing but their two vectors."""

import numpy as np
import pytest

from chorus_jax.inter_request.index.table import VectorTable, unit_vector


@pytest.mark.parametrize("width", (3, 12, 96, 1536))
def test_a_cosine_does_not_depend_on_what_it_is_scored_beside(width):
    rng = np.random.default_rng(width)
    table = VectorTable(width)
    for i in range(61):
        table.put(str(i), unit_vector(rng.normal(size=width), width))
    query = unit_vector(rng.normal(size=width), width)
    every = dict(table.scored(table.ids, query))
    for _ in range(50):
        ids = rng.permutation(table.ids)[: rng.integers(1, 61)].tolist()
        assert dict(table.scored(ids, query)) == {id: every[id] for id in ids}
