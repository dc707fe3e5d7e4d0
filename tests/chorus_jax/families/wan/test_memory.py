"""Requests that no machine can hold are refused by size."""

import math

import jax
import pytest

from chorus_jax.checkpoints import Card, config_from, shipped
from chorus_jax.devices import memory
from chorus_jax.devices.sharding import make_mesh
from chorus_jax.families.memory import BYTES
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.registry import family_of
from chorus_jax.families.wan.experts import LOW
from chorus_jax.families.wan.memory import least_memory
from chorus_jax.families.wan.parts import parts_of
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


def need(options=LoadOptions(), **fields):
    folder = shipped.folder()
    request = Request("", frames=17, **fields)
    return least_memory(Sizes.read(folder), Card.read(folder), request, options)


def test_the_least_memory_grows_with_the_pixels():
    small, wide = need(height=64, width=64), need(height=64, width=6400)
    assert 2**20 < small < 2**26 and wide > small
    # 256 million tokens of 160 channels, twice for guidance, in two bytes.
    assert need(height=64000, width=64000) > 256e6 * 160 * 2 * 2


def test_only_an_expert_on_the_host_is_left_out():
    card = family_of(shipped.folder()).card("Wan 2.2 T2V-A14B")
    configs = {
        name: config_from(config, card.part(name).config)
        for name, (_, config) in parts_of(card).items()
    }
    request = Request("", frames=81, height=720, width=1280)
    of = lambda **options: least_memory(
        Sizes(**configs), card, request, LoadOptions(**options)
    )
    expert = 2 * card.part(LOW).parameters  # in bfloat16
    assert expert > 25 * 2**30
    assert of() - of(idle_expert="host") == expert


def test_the_loaded_dtype_counts_and_a_text_encoder_until_it_is_freed():
    size = {"height": 64, "width": 64}
    card = Card.read(shipped.folder())
    stored = sum(x.parameters * BYTES[x.dtype] for x in card.parts.values())
    wide = sum(card.part(name).parameters * 4 for name in parts_of(card, "transformer"))
    assert wide < need(LoadOptions(dtype="float32"), **size) < 3 * stored
    kept, freed = need(**size), need(LoadOptions(keep_text_encoder=False), **size)
    encoder = card.part("text_encoder")
    assert 0 < kept - freed <= encoder.parameters * BYTES[encoder.dtype]


def test_held_keys_count_with_token_budgets_and_regions():
    folder, size = shipped.folder(), {"height": 64, "width": 64, "guidance_scale": 3.0}
    request = Request("", frames=17, **size)
    of = lambda request, **more: least_memory(
        Sizes.read(folder), Card.read(folder), request, LoadOptions(), **more
    )
    config = Sizes.read(folder).transformer
    tokens = math.prod(Sizes.read(folder).grid(request))
    keys = 2 * 2 * tokens * config.depth * config.heads * config.head_width
    keys *= BYTES[config.dtype]
    assert of(request, held_keys=True) - of(request) == keys
    assert of(request.changed(tokens="hsa-75")) - of(request) == keys
    for all_or_none in ("hsa-50", "hsa-25"):
        assert of(request.changed(tokens=all_or_none)) == of(request)


def test_a_mesh_splits_weights_by_tensor_alone():
    """Each device's share counts, not the memory of all together."""
    plain = need(height=64, width=64)
    of = lambda **axes: need(
        LoadOptions(mesh=make_mesh(**axes, devices=jax.devices()[:4])),
        *(),
        height=64,
        width=64,
    )
    assert plain // 4 <= of(tensor=4) < plain / 3
    assert of(context=4) > 0.8 * plain and of(data=4) == of(context=4)


def test_what_does_not_fit_is_refused_by_size(monkeypatch):
    folder = shipped.folder()
    request = Request("", frames=17, height=64000, width=64000)
    check = family_of(folder).checker(folder)
    message = "17 frames of 64000x64000 pixels need at least .* GiB of memory, but"
    monkeypatch.setattr(memory, "device_memory", lambda mesh: 2**34)
    with pytest.raises(ValueError, match=message):
        check(request)
    monkeypatch.setattr(memory, "device_memory", lambda mesh: None)
    check(request)


def test_the_hosts_memory_is_that_of_its_cores():
    assert memory.device_memory() > 2**28
