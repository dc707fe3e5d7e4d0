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


def other_kernel(model):
    model.patch.kernel = nnx.Param(model.patch.kernel.get_value() + 1e-3)


def other_layer(model):
    model.patch = nnx.clone(model.patch)
    merged(model)


def value_in_place(model):
    kernel = model.patch.kernel
    kernel[...] = kernel[...] + 1e-3


@pytest.mark.parametrize("change", [merged, other_kernel, other_layer, value_in_place])
def test_whichever_way_weights_are_changed_it_is_noticed(model, change):
    known, before = WeightsFingerprint(model), checkpoints.digested(model)
    assert known(model) == before
    change(model)
    assert known(model) == checkpoints.digested(model) != before


def test_another_module_with_the_same_arrays_is_the_same_weights(model, caplog):
    known = WeightsFingerprint(model, "as stored")
    assert known(nnx.merge(*nnx.split(model))) == "as stored" and not caplog.messages


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


@pytest.mark.parametrize("change", [other_kernel, other_layer])
def test_replaced_layers_leave_memory(model, change):
    known = WeightsFingerprint(model, "as stored")
    gone = weakref.ref(model.patch.kernel.get_value())
    change(model)
    gc.collect()
    assert gone() is None and known(model) != "as stored"
