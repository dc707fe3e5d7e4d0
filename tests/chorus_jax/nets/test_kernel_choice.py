"""A kernel runs where it is faster than the plain path, and the reason is given."""

import re

import jax
import jax.numpy as jnp
import pytest

from chorus_jax.nets import kernel_choice
from chorus_jax.nets.kernel_choice import (
    REGION,
    TEXT,
    enabled,
    region_choice,
    text_choice,
)
from kernels_pallas import dispatch


def tiles(size, width=128, dtype="bfloat16", rows=1):
    return jax.ShapeDtypeStruct((rows, 4, size, 12, width), jnp.dtype(dtype))


def tokens(count, width=128):
    return jax.ShapeDtypeStruct((1, count, 12, width), jnp.bfloat16)


@pytest.fixture
def on(monkeypatch):
    """A function that pretends to be on a device."""
    kernel_choice.warn_once.cache_clear()
    return lambda *device: monkeypatch.setattr(dispatch, "device", lambda: device)


@pytest.mark.parametrize(
    "device, size, biased, name, reason",
    [
        (("tpu", "TPU v6 lite"), 120, False, None, "splash .* takes fewer cycles"),
        (("tpu", "TPU v5"), 195, False, None, "splash .* takes fewer cycles"),
        (("tpu", "TPU v5"), 120, True, "tpu", "faster than chunked"),
        (("gpu", "NVIDIA H100"), 120, False, None, "cudnn .* is faster"),
        (("gpu", "NVIDIA H100"), 120, True, "gpu", "faster than chunked"),
        (("cpu", "cpu"), 120, True, None, "no kernel runs on a cpu"),
        (("tpu", "TPU v6 lite"), 2048, True, None, "'tpu' refuses tiles of 2048"),
    ],
)
def test_a_region_kernel_runs_where_it_is_faster(
    on, device, size, biased, name, reason
):
    on(*device)
    choice = region_choice(tiles(size), tiles(size), biased)
    assert choice.name == name
    assert re.match(reason, choice.reason)


@pytest.mark.parametrize(
    "kind, heads, active, name",
    [
        ("TPU v6 lite", 12, 4, "tpu"),
        ("TPU v6 lite", 12, 5, None),
        ("TPU v6 lite", 40, 10, "tpu"),
        ("TPU v6 lite", 40, 11, None),
        ("TPU v6 lite", 32, 1, None),
        ("TPU v5 lite", 12, 4, "tpu"),
        ("TPU v5", 12, 4, None),
    ],
)
def test_of_few_tiles_the_region_kernel_is_faster_on_some_devices(
    on, kind, heads, active, name
):
    on("tpu", kind)
    query = jax.ShapeDtypeStruct((1, active, 120, heads, 128), jnp.bfloat16)
    key = jax.ShapeDtypeStruct((1, 40, 120, heads, 128), jnp.bfloat16)
    assert region_choice(query, key).name == name


def test_float32_is_nothing_for_cudnn(on):
    on("gpu", "NVIDIA H100")
    single = tiles(120, dtype="float32")
    assert region_choice(single, single).name == "gpu"


def test_the_text_kernel_takes_as_many_keys_as_fit(on):
    on("tpu", "TPU v5")
    assert text_choice(tokens(100), tokens(512)).name == "tpu"
    assert text_choice(tokens(100), tokens(513)) == (None, "513 keys are more than 512")


@pytest.mark.parametrize("name", ["tpu_interpreted", "reference"])
def test_what_is_forced_runs_and_what_is_switched_off_does_not(name):
    region, text = (tiles(8), tiles(8)), (tokens(8), tokens(8))
    for choose, given in [(region_choice, region), (text_choice, text)]:
        assert choose(*given).name is None
        with dispatch.forced(name):
            assert choose(*given) == (name, "forced")
            with enabled(()):
                assert choose(*given) == (None, "switched off")
    with dispatch.forced(name), enabled((TEXT,)):
        assert region_choice(*region).name is None and text_choice(*text).name == name
    assert enabled.value == (REGION, TEXT)


def test_a_refusal_is_logged_once(on, caplog):
    on("gpu", "some kind")
    for width in (16, 48, 48):
        choice = text_choice(tokens(4, width), tokens(4, width))
        assert (choice.name is None) == (width == 48)
    # What would not run anyway is not said to be refused.
    assert region_choice(tiles(8, 48), tiles(8, 48)).name is None
    [record] = caplog.records
    assert "'gpu' refuses heads of width 48" in record.message


def test_keys_beyond_32_bits_are_refused_on_a_gpu(on):
    """Wan 14B at 720p, six rows of a batch."""
    on("gpu", "NVIDIA H100")
    query, key = (
        jax.ShapeDtypeStruct((6, k, 120, 40, 128), jnp.bfloat16) for k in (158, 630)
    )
    choice = region_choice(query, key, biased=True)
    assert choice.name is None and "do not fit in 32 bits" in choice.reason
