"""Settings that a measured step cache depends on: other runs are refused."""

import json

import numpy as np
import pytest

from chorus_jax.cli.run_settings import run_of
from chorus_jax.intra_request.cache_file import MeasuredCache
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request

IMAGE = np.zeros((32, 32, 3), np.uint8)
SIZE = {"height": 32, "width": 32, "frames": 5}
REQUEST = Request("a red circle", steps=4, solver="euler", **SIZE)


def measured(request):
    """A step cache measured on this request, as it is read from a file."""
    run = json.loads(json.dumps(run_of(request)))
    return MeasuredCache(TaylorSeer(2), {}, run, {})


def test_the_same_settings_are_taken_after_a_file():
    measured(REQUEST).check({}, run_of(REQUEST.changed(prompt="other", seed=7)))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"steps": (1.0, 0.9, 0.5, 0.1)}, "sigmas"),
        ({"shift": 3.0}, "sigmas"),
        ({"guidance_scale": 12.0}, "guidance_scales"),
        ({"inputs": InputMedia(image=IMAGE)}, "given_frames"),
        ({"fps": 60.0}, "fps"),
    ],
)
def test_other_settings_are_refused_both_ways(changes, name):
    other = REQUEST.changed(**changes)
    for one, two in ((REQUEST, other), (other, REQUEST)):
        with pytest.raises(ValueError, match=name):
            measured(one).check({}, run_of(two))
