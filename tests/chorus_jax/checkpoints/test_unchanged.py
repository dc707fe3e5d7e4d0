"""The fingerprint of weights that are changed in memory."""

import gc
import weakref

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.checkpoints.unchanged import WeightsFingerprint
from chorus_jax.families.wan.dit import WanDiT
from tests.chorus_jax.denoise.tiny import CONFIG


@pytest.fixture
def model():
    return jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()


def merged(model):
    """The model after an adapter was added to one of its kernels."""
    kernel = model.patch.kernel
    kernel.set_value(kernel.get_value() + 1e-3)


def test_weights_that_are_not_touched_keep_what_they_came_with(model):
    known = WeightsFingerprint(model, "as stored")
    assert known(model) == known(model) == "as stored"


def test_changed_weights_have_another_fingerprint(model, caplog):
    known = WeightsFingerprint(model, "as stored")
    merged(model)
    assert known(model) == checkpoints.digested(model) != "as stored"
    assert known(model) == checkpoints.digested(model)
    assert len([x for x in caplog.messages if "changed in memory" in x]) == 1


def test_without_one_it_is_made_when_it_is_asked_for(model):
    assert WeightsFingerprint(model)(model) == checkpoints.digested(model)


def test_a_freed_part_is_what_it_was(model):
    known = WeightsFingerprint(model)
    with pytest.raises(ValueError, match="freed, and it came without"):
        known(None)
    told = known(model)
    assert known(None) == told


def test_replaced_weights_leave_memory(model):
    known = WeightsFingerprint(model, "as stored")
    array = model.patch.kernel.get_value()
    gone = weakref.ref(array)
    model.patch.kernel.set_value(jnp.zeros_like(array))
    del array
    gc.collect()
    assert gone() is None and known(model) != "as stored"
