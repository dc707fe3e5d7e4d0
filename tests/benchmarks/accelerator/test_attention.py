"""The kernels' rivals compute the same, and errors are detected."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.accelerator.attention import (
    Shape,
    error,
    exact,
    operands,
    ours,
    rival,
)
from benchmarks.accelerator.kernels import TOLERANCE, shapes


@pytest.mark.parametrize("text", [0, 8])
def test_ours_and_xla_agree_with_float32(text):
    shape = Shape((2, 4, 4), (1, 2, 2), 2, 16, 0.5, text)
    given = operands(shape, jax.random.key(0))
    want = exact(shape, given)
    for function in (ours(shape), rival(shape, "xla")):
        assert error(jax.jit(function), given, want) < TOLERANCE
    wrong = lambda **given: ours(shape)(**given) + jnp.bfloat16(1)
    assert error(wrong, given, want) > TOLERANCE


def test_queries_are_those_of_the_active_tiles():
    shape = Shape((2, 4, 4), (1, 2, 2), 2, 16, 0.25)
    given = operands(shape, jax.random.key(0))
    assert given["query"].shape == (1, 8, 2, 16)
    assert given["key"].shape == (1, 32, 2, 16)


def test_operations_are_counted():
    assert Shape((2, 4, 4), (1, 2, 2), 2, 16, 0.5).operations == 4 * 16 * 32 * 32
    assert Shape((2, 4, 4), (1, 2, 2), 2, 16, 0.5, 8).operations == 4 * 16 * 8 * 32


def test_the_real_shapes_are_those_of_wan():
    names = dict(shapes(False))
    assert [*names][0] == "region 1.3b 480p 0.25"
    shape = names["region 1.3b 720p 1"]
    assert shape.tiling.count * shape.tiling.size == 21 * 45 * 80
    assert (shape.heads, shape.head_width) == (12, 128)
