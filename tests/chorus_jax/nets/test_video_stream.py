"""Streams along the frames of a video."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.nets.video_stream import stream


def sums(frames, past):
    """The sum of all frames up to these; of a group only the last one's."""
    total = frames.sum(1, keepdims=True) + (0 if past is None else past)
    return total, total


def test_frames_are_read_in_groups():
    video = jnp.arange(7.0).reshape(1, 7, 1, 1, 1)
    out = stream(sums, video, group=3, yields=1)
    np.testing.assert_array_equal(out.ravel(), [0, 6, 21])


@pytest.mark.parametrize("frames", [0, 3, 6])
def test_frames_that_are_no_whole_groups_are_refused(frames):
    with pytest.raises(ValueError, match=f"multiple of 3 frames, got {frames}"):
        stream(sums, jnp.zeros((1, frames, 1, 1, 1)), group=3, yields=1)
