"""Images that requests give as input."""

import numpy as np
import pytest
from PIL import Image

from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe


def test_equal_pixels_are_equal_inputs():
    one, other = (np.full((4, 6, 3), value, np.uint8) for value in (1, 2))
    assert InputMedia(one) == InputMedia(one.copy())
    assert hash(InputMedia(one)) == hash(InputMedia(one.copy()))
    different = [
        InputMedia(one),
        InputMedia(other),
        InputMedia(one, other),
        InputMedia(one, one),
        InputMedia(one.reshape(6, 4, 3)),
    ]
    assert len({inputs.digest for inputs in different}) == 5


def test_files_are_read_as_rgb(tmp_path):
    Image.new("L", (6, 4), 9).save(tmp_path / "gray.png")
    inputs = InputMedia.read(tmp_path / "gray.png", tmp_path / "gray.png")
    assert inputs.image.shape == (4, 6, 3) and (inputs.image == 9).all()
    (tmp_path / "words.png").write_text("no image")
    with pytest.raises(ValueError, match="words.png is not an image"):
        InputMedia.read(tmp_path / "words.png")


def test_pictures_are_turned_upright(tmp_path):
    """As a phone's, which are stored on their side."""
    upright = np.zeros((6, 4, 3), np.uint8)
    upright[0] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(InputMedia.read(tmp_path / "a.png").image, upright)


def test_16_bits_of_gray_keep_their_brightness(tmp_path):
    levels = np.array([[0, 257 * 100, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    made = InputMedia.read(tmp_path / "a.png").image
    assert made[0, :, 0].tolist() == [0, 100, 255]


def test_a_picture_that_is_too_large_is_refused(tmp_path, monkeypatch):
    Image.new("L", (600, 400), 9).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="is not an image that can be read"):
        InputMedia.read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 3)), np.zeros((0, 6, 3), np.uint8)],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="image must be pixels"):
        InputMedia(image)


def test_an_array_that_is_written_to_later_changes_no_inputs():
    """Else its digest would be that of other pixels: a wrong video from the cache."""
    buffer = np.zeros((1, 4, 6, 3), np.uint8)
    inputs = InputMedia(buffer[0], keyframes=(Keyframe(buffer, first=2),))
    before = inputs.digest
    buffer[:] = 9
    assert (
        inputs.digest
        == before
        == InputMedia(
            np.zeros((4, 6, 3), np.uint8),
            keyframes=(Keyframe(np.zeros((1, 4, 6, 3), np.uint8), first=2),),
        ).digest
    )
    assert not inputs.image.any() and not inputs.keyframes[0].frames.any()
    with pytest.raises(ValueError, match="read-only"):
        inputs.image[0] = 1
