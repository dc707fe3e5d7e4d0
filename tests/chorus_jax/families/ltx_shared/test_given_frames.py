"""Places of given frames, and frames that do not fit."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.families.ltx_shared.given_frames import FrameLayout, Place, layout_of
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe


def clip(count):
    return np.zeros((count, 8, 8, 3), np.uint8)


def test_places_of_a_clip():
    layout = FrameLayout(((0, 1, 1.0), (8, 25, 0.5), (40, 1, 1.0)), 8, 2)
    assert layout.places == (
        Place(0, 0, 1, 0),
        Place(1, 0, 2, None),
        Place(1, 2, 4, 3),
        Place(2, 0, 1, None),
    )
    assert layout.strengths == (0.0, 0.5, 1.0)
    kinds = layout.kinds((6, 1, 2)).reshape(-1, 2)[:, 0]
    assert kinds.tolist() == [1, 1, 2, 2, 0, 0, 1, 1, 0]
    assert layout.extra((6, 1, 2)) == 6


@pytest.mark.parametrize(
    "keyframe, message",
    [
        (Keyframe(clip(1), 25), "the video has 25"),
        (Keyframe(clip(8)), "1 \\+ a multiple of 8 frames, got 8"),
        (Keyframe(clip(9), 4), "frame 0 or a multiple of 8, got 4"),
    ],
)
def test_frames_that_do_not_fit_are_refused(keyframe, message):
    with pytest.raises(ValueError, match=message):
        layout_of(InputMedia(None, keyframes=(keyframe,)), 25, 8, 2)


def test_all_of_a_clip_stands_beside_without_a_prefix():
    layout = FrameLayout(((0, 1, 1.0), (5, 25, 0.5)), 8)
    assert layout.places == (Place(0, 0, 1, 0), Place(1, 0, 4, None))
    sizes = [((4, 2, 3), 5, False)]
    assert list(layout.beside_sizes((6, 2, 3))) == sizes
    assert [*replace(layout, prefix=2).beside_sizes((6, 2, 3))][0][0] == (2, 2, 3)
    keyframe = Keyframe(clip(9), 5)
    assert layout_of(InputMedia(None, keyframes=(keyframe,)), 25, 8, None) is not None


def test_a_video_of_one_frame_has_an_image_but_no_last_one():
    image = clip(1)[0]
    layout = layout_of(InputMedia(image), 1, 8, 2)
    assert layout is not None and layout.places == (Place(0, 0, 1, 0),)
    for inputs in (InputMedia(image, image), InputMedia(None, image)):
        with pytest.raises(ValueError, match="one frame has no last one"):
            layout_of(inputs, 1, 8, 2)


def test_frames_of_one_place_are_all_given():
    """The last of them says how soft what they stand for is."""
    keyframes = tuple(Keyframe(clip(1), 4, x) for x in (1.0, 0.5))
    layout = layout_of(InputMedia(clip(1)[0], keyframes=keyframes), 9, 8, 2)
    assert layout is not None and layout.extra((2, 1, 1)) == 2
    assert layout.kinds((2, 1, 1)).tolist() == [2, 1, 2, 0]
