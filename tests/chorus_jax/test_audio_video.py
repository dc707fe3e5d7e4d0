"""Guidance of video and audio together."""

import pytest

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.request import Request, same_program


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"rescale": 1.5}, "rescale is a number from 0 to 1, got 1.5"),
        ({"audio_rescale": -0.1}, "audio_rescale is a number from 0 to 1"),
        ({"joint": None}, "joint is a number"),
        ({"audio_scale": True}, "audio_scale is a number"),
        ({"audio_joint": float("nan")}, "audio_joint is a number"),
    ],
)
def test_impossible_scales_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        AudioVideoGuidance(**fields)


def test_a_request_says_what_it_wants():
    with pytest.raises(ValueError, match="joint must be AudioVideoGuidance, got 3"):
        Request("a", joint=3)


def test_a_pass_apart_is_one_of_the_program():
    assert not AudioVideoGuidance().isolates
    assert AudioVideoGuidance(joint=2.0).isolates
    assert AudioVideoGuidance(audio_joint=2.0).isolates
    apart = Request("a", joint=AudioVideoGuidance(joint=2.0))
    with pytest.raises(ValueError, match="must agree.*isolated"):
        same_program((apart, Request("a", joint=AudioVideoGuidance(rescale=0.5))))
