"""The parts, requests and meshes that fit a Wan checkpoint."""

import dataclasses

import jax
import pytest

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.devices import sharding
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


@pytest.fixture(scope="module")
def sizes(weights):
    return Sizes.read(weights)


def small(**changes):
    fields = {"frames": 9, "height": 32, "width": 48, "steps": 4, **changes}
    return Request("a red circle", **fields)


def test_frames_must_fill_the_patches_too(sizes):
    columns = dataclasses.replace(sizes.transformer, patch=(5, 1, 1))
    sizes = dataclasses.replace(sizes, transformer=columns)
    assert sizes.grid(small(frames=17)) == (1, 8, 12)
    assert sizes.grid(small(frames=37)) == (2, 8, 12)
    with pytest.raises(ValueError, match="17 [+] a multiple of 20, got 9.*nearest: 17"):
        sizes.grid(small())


@pytest.mark.parametrize(
    "axes, changes, message",
    [
        (
            {"context": 4},
            {"frames": 1, "height": 8},
            "context=4.* 6 video tokens; 1, 2, 3",
        ),
        ({"data": 4}, {}, "data=4.* 2 guidance branches x requests; 1, 2 would"),
        ({"data": 2}, {"guidance_scale": 1.0}, "data=2.* 1 guidance"),
        ({"tensor": 4}, {}, "tensor=4.* 2 heads; 1, 2 would"),
    ],
)
def test_a_mesh_that_does_not_divide_is_refused(axes, changes, message, sizes):
    mesh = sharding.make_mesh(**axes, devices=jax.devices()[: max(axes.values())])
    with pytest.raises(ValueError, match=message):
        sizes.check_mesh(mesh, small(**changes), 1)


def test_frames_per_second_are_no_part_of_a_request(sizes):
    with pytest.raises(ValueError, match="positions count frames, not seconds"):
        sizes.check(small(fps=24))


def test_guidance_of_sound_is_refused(sizes):
    with pytest.raises(ValueError, match="make sound, which Wan does not"):
        sizes.check(small(joint=AudioVideoGuidance(audio_scale=7.0)))


def test_parts_of_different_models_are_refused(sizes):
    with pytest.raises(ValueError, match="text_width=16, but the text encoder's width"):
        wide = dataclasses.replace(sizes.text_encoder, width=32)
        dataclasses.replace(sizes, text_encoder=wide)
    with pytest.raises(ValueError, match="in_channels=8, but the latent channels is 4"):
        other = dataclasses.replace(sizes.transformer, in_channels=8)
        dataclasses.replace(sizes, transformer=other)
