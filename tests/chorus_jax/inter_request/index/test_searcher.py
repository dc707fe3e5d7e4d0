"""The blocks of a searcher's vectors."""

import pytest

from chorus_jax.inter_request.index.searcher import BLOCKS, dimensions_a_block


@pytest.mark.parametrize("width", [1, 16, 96, 384, 768, 1536, 2048, 4096, 5120])
def test_blocks_are_powers_of_two_and_not_many(width):
    size = dimensions_a_block(width)
    assert size >= 2 and size & (size - 1) == 0
    assert width / size <= 2 * BLOCKS


def test_narrow_vectors_have_two_dimensions_a_block():
    assert dimensions_a_block(96) == 2 and dimensions_a_block(1536) == 32
