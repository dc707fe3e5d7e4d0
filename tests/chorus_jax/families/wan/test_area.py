"""Sizes of videos from their images, by the rules of Wan's own code."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.families.wan.area import below, fitted, nearest
from chorus_jax.families.wan.variants import RELEASED
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia
from tests.chorus_jax.families.wan.test_variants import KNOWN

BY_NAME = {variant.name: variant for variant in RELEASED}
ASPECTS = [(480, 832), (1024, 768), (900, 300), (333, 777), (720, 1280), (64, 64)]


def original(area, h, w):
    """wan/image2video.py, with the VAE's stride 8 and the patch 2."""
    aspect = h / w
    lat_h = round(np.sqrt(area * aspect) // 8 // 2 * 2)
    lat_w = round(np.sqrt(area / aspect) // 8 // 2 * 2)
    return lat_h * 8, lat_w * 8


def best_output_size(w, h, dw, dh, expected_area):
    """wan/utils/utils.py of Wan 2.2."""
    ratio = w / h
    ow = (expected_area * ratio) ** 0.5
    oh = expected_area / ow
    ow1 = int(ow // dw * dw)
    oh1 = int(expected_area / ow1 // dh * dh)
    oh2 = int(oh // dh * dh)
    ow2 = int(expected_area / oh2 // dw * dw)
    ratio1, ratio2 = ow1 / oh1, ow2 / oh2
    if max(ratio / ratio1, ratio1 / ratio) < max(ratio / ratio2, ratio2 / ratio):
        return oh1, ow1
    return oh2, ow2


@pytest.mark.parametrize("h, w", ASPECTS)
@pytest.mark.parametrize("area", [480 * 832, 720 * 1280])
def test_image_to_video(area, h, w):
    assert below(area, h / w, 16, 16) == original(area, h, w)


@pytest.mark.parametrize("h, w", ASPECTS)
def test_ti2v_5b(h, w):
    area = 704 * 1280
    made = nearest(area, h / w, 32, 32)
    assert made == best_output_size(w, h, 32, 32, area)
    assert made[0] * made[1] <= area


def of(name, inputs, given=(), **changes):
    sizes = replace(KNOWN[name], expand_timesteps="5B" in name)
    request = replace(BY_NAME[name].defaults.request, inputs=inputs, **changes)
    return fitted(sizes, request, given)


def test_a_published_model_takes_the_aspect_of_its_image():
    upright = InputMedia(np.zeros((1280, 720, 3), np.uint8))
    made = of("Wan 2.2 I2V-A14B", upright)
    assert (made.height, made.width) == (1280, 720)
    made = of("Wan 2.2 TI2V-5B", upright)
    assert (made.height, made.width) == (1248, 704)
    kept = of("Wan 2.2 I2V-A14B", upright, given={"width"}, width=640)
    assert (kept.height, kept.width) == (720, 640)


def test_a_video_gives_frames_and_aspect():
    clip = InputMedia(video=InputVideo(np.zeros((24, 90, 160, 3), np.uint8)))
    made = of("Wan 2.1 T2V-14B", clip)
    assert (made.frames, made.height, made.width) == (21, 720, 1280)
    assert of("Wan 2.1 T2V-14B", clip, {"frames"}, frames=5).frames == 5
    words = BY_NAME["Wan 2.1 T2V-14B"].defaults.request
    assert of("Wan 2.1 T2V-14B", None) == words
