"""Frames of other sizes, as the makers of LTX-Video fit them to the video."""

import numpy as np
import pytest
from PIL import Image

from chorus_jax.families.ltx import encoding
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.request import Request


def gradient(height, width):
    """A picture whose channels say how far right and how far down a pixel is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, x + y], -1).astype(np.uint8)


def as_the_makers(image, height, width):
    """Cropped to the aspect ratio at the centre, then resized: what LTX-Video's
    load_image_to_tensor_with_resize_and_crop does before blur and compression."""
    image = Image.fromarray(image)
    if image.width / image.height > width / height:
        size = int(image.height * width / height), image.height
    else:
        size = image.width, int(image.width * height / width)
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    image = image.crop((left, top, left + size[0], top + size[1]))
    made = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(made, np.float32) / 127.5 - 1


@pytest.mark.parametrize("size", [(64, 200), (90, 40), (32, 160), (192, 96)])
def test_frames_of_another_aspect_are_cropped_as_by_the_makers(size):
    frame = gradient(*size)
    [made] = encoding.fitted(frame[None], 64, 96)
    want = as_the_makers(frame, 64, 96)
    # They crop first, so that at the edges nothing outside is mixed in.
    assert np.abs(made - want).max() < 0.06
    assert np.abs(made - want)[4:-4, 4:-4].max() < 0.03


@pytest.mark.parametrize("size", [(64, 96), (128, 192), (32, 48), (96, 144)])
def test_frames_of_the_same_aspect_are_resized_whole(size):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    [made] = encoding.fitted(frame[None], 64, 96)
    whole = Image.fromarray(frame).resize((96, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(made, 2 * (np.asarray(whole, np.float32) / 255) - 1)


def test_images_clips_and_videos_are_cropped(monkeypatch):
    monkeypatch.setattr(encoding, "encode", lambda _, frames: frames)
    image, clip = gradient(64, 200), np.stack([gradient(64, 200)] * 9)
    want = 2 * (image[:, 52:148].astype(np.float32) / 255) - 1
    video = InputVideo(clip, 0.5)
    inputs = InputMedia(image, keyframes=(Keyframe(clip, 8),), video=video)
    request = Request("", frames=17, height=64, width=96, inputs=inputs)
    vae = object.__new__(LTXVAE)
    first, later = (encoding.encoded(vae, request, item) for item in range(2))
    for made in (first, later, encoding.video_latents(vae, video, request)):
        for frame in made[0]:
            np.testing.assert_array_equal(frame, want)
