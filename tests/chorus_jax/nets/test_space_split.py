"""Pictures in shares: which axis is split over which devices, and what is exchanged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from chorus_jax.devices import sharding
from chorus_jax.nets.space_split import SpaceSplit, over_space, with_halo


@pytest.mark.parametrize(
    "sizes, height, width, axes, along",
    [
        ((1, 4, 2), 80, 44, ("context", "tensor"), 2),  # rows before columns
        ((1, 4, 2), 90, 160, ("context", "tensor"), 3),
        ((2, 4, 1), 45, 52, ("context",), 3),  # 4 devices rather than 2
        ((1, 8, 1), 45, 52, None, None),  # not along part of an axis
    ],
)
def test_most_devices_take_part(sizes, height, width, axes, along):
    mesh = AbstractMesh(sizes, ("data", "context", "tensor"))
    split = SpaceSplit.of(mesh, height, width)
    if axes is None:
        assert split is None
        return
    assert (split.axes, split.along) == (axes, along)
    assert split.spec == PartitionSpec(*(None,) * along, axes)


def test_neighbours_give_what_lies_beside_a_share():
    x = jnp.arange(8.0).reshape(1, 1, 8, 1, 1)
    step = lambda _, x: with_halo(x, 2, 1)
    with jax.set_mesh(sharding.make_mesh(context=4, devices=jax.devices()[:4])):
        shares = jax.jit(lambda x: over_space(step, None, 8, 1, x))(x)
    want = [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [4, 5, 6, 7, 0]]
    np.testing.assert_array_equal(np.ravel(shares).reshape(4, 5), want)


def test_one_device_has_whole_pictures():
    x = jnp.ones((1, 1, 8, 1, 1))
    assert over_space(lambda _, x: with_halo(x, 1, 1), None, 8, 1, x) is x
