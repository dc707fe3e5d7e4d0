"""Videos that requests begin from."""

import numpy as np
import pytest

from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia


def clip(value, frames=2):
    return np.full((frames, 4, 6, 3), value, np.uint8)


def test_equal_pixels_and_strengths_are_equal_videos():
    one = InputVideo(clip(1))
    assert one == InputVideo(clip(1)) and hash(one) == hash(InputVideo(clip(1)))
    others = [
        one,
        InputVideo(clip(2)),
        InputVideo(clip(1), 0.5),
        InputVideo(clip(1, 3)),
    ]
    assert len({video.digest for video in others}) == 4
    inputs = {InputMedia(video=video).digest for video in others}
    assert len(inputs) == 4 and InputMedia(clip(1)[0]).digest not in inputs


@pytest.mark.parametrize("strength", [0, 1.1, True, "0.5", float("nan")])
def test_other_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="strength must be above 0, up to 1"):
        InputVideo(clip(1), strength)


def test_other_arrays_are_refused():
    for frames in (clip(1)[0], clip(1).astype(np.float32), clip(1)[:0]):
        with pytest.raises(ValueError, match="a video must be pixels"):
            InputVideo(frames)
    with pytest.raises(ValueError, match="video must be an InputVideo"):
        InputMedia(video=clip(1))


def test_some_of_the_steps_are_run():
    assert InputVideo(clip(1)).steps(50) == 40 and InputVideo(clip(1), 1).steps(4) == 4
    with pytest.raises(ValueError, match="leaves none to run: give 0.25 or more"):
        InputVideo(clip(1), 0.2).steps(4)


@pytest.mark.parametrize("count", [2, 3, 4, 7, 30, 50, 99, 150, 1000])
def test_the_strength_that_is_advised_is_enough(count):
    with pytest.raises(ValueError, match="leaves none") as refusal:
        InputVideo(clip(1), 0.9 / count).steps(count)
    advised = float(str(refusal.value).split("give ")[1].split(" ")[0])
    assert InputVideo(clip(1), advised).steps(count) == 1
