"""The implementation that runs is reported, can be forced, and can refuse loudly."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from kernels_pallas import dispatch


def test_the_platform_chooses_and_a_name_is_that_one():
    platform = dispatch.device()[0]
    assert dispatch.choose() == dispatch.PLATFORMS[platform]
    assert dispatch.choose("reference") == "reference"


def test_a_wrong_name_and_a_wrong_platform_are_refused():
    with pytest.raises(ValueError, match="'flash' is none of reference, tpu, gpu"):
        dispatch.choose("flash")
    for name in {"tpu", "gpu"} - {dispatch.device()[0]}:
        with pytest.raises(NotImplementedError, match=f"needs a {name.upper()}"):
            dispatch.choose(name)


def test_what_is_forced_is_compiled_again():
    seen = []

    @jax.jit
    def function(x):
        seen.append(dispatch.choose())
        return x

    for name in ("reference", "tpu_interpreted", "reference"):
        with dispatch.forced(name):
            function(1.0)
    assert seen == ["reference", "tpu_interpreted"]


def test_a_named_mesh_says_the_device():
    devices = np.array(jax.devices()[:1])
    with jax.set_mesh(Mesh(devices, ("x",), axis_types=(AxisType.Auto,))):
        assert dispatch.device()[0] == jax.default_backend()
