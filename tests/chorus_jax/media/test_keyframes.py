"""Keyframes: what is refused, and which ones are equal."""

import numpy as np
import pytest

from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe

GRAY = np.full((1, 8, 8, 3), 127, np.uint8)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"frames": GRAY[0]}, "must be pixels as"),
        ({"frames": GRAY / 2}, "in float64: convert"),
        ({"first": -1}, "a whole number from 0 on, got -1"),
        ({"first": 4.0}, "from 0 on, got 4.0"),
        ({"first": True}, "from 0 on, got True"),
        ({"strength": 2}, "above 0, up to 1, got 2"),
        ({"strength": float("nan")}, "above 0, up to 1, got nan"),
        ({"strength": 0.0}, "above 0, up to 1, got 0.0"),
        ({"strength": True}, "above 0, up to 1, got True"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Keyframe(**{"frames": GRAY, **fields})


def test_pixels_place_and_strength_tell_them_apart():
    others = (Keyframe(GRAY, 1), Keyframe(GRAY, 0, 0.5), Keyframe(GRAY + 1))
    assert Keyframe(GRAY) == Keyframe(GRAY.copy())
    assert len({Keyframe(GRAY), *others}) == 4
    media = [InputMedia(None, keyframes=(x,)) for x in (Keyframe(GRAY), *others)]
    assert len({x.digest for x in media}) == 4


def test_numbers_may_be_numpys():
    numbers = Keyframe(GRAY, np.int64(1), np.float32(0.5))
    assert numbers == Keyframe(GRAY, 1, 0.5)


def test_inputs_without_any_image_are_refused():
    with pytest.raises(ValueError, match="have no image"):
        InputMedia(None)
    with pytest.raises(ValueError, match="must be Keyframes"):
        InputMedia(GRAY[0], keyframes=("a",))
