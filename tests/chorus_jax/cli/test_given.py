"""The fields of a request among a command's options."""

from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from chorus_jax.cli.given import given
from chorus_jax.cli.options import parser
from chorus_jax.media.video import write


def test_what_is_not_given_is_left_to_the_weights():
    options = Namespace(steps=4, width=None, prompt=["a"], seed=(1,), weights="shapes")
    assert given(options) == {"steps": 4}


def test_a_command_may_have_a_step_cache_and_no_quality():
    assert given(Namespace(step_cache="every")) == {"step_cache": "every"}
    assert given(Namespace(quality="high")) == {"step_cache": "high"}
    with pytest.raises(ValueError, match="leave one out"):
        given(Namespace(step_cache="every", quality="high"))


def test_a_last_image_needs_a_first():
    with pytest.raises(ValueError, match="give the first one too"):
        given(Namespace(image=None, last_image="last.png"))


def test_images_and_both_guidance_scales(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 6, 8, 3), np.uint8)
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for picture, path in zip(pictures, paths):
        Image.fromarray(picture).save(path)
    words = ["generate", "a", "--image", paths[0], "--last-image", paths[1]]
    scales = ["--guidance-scale-high", "4", "--guidance-scale-low", "3"]
    fields = given(parser().parse_args([*words, *scales]))
    assert (fields["inputs"].image == pictures[0]).all()
    assert (fields["inputs"].last_image == pictures[1]).all()
    assert fields["guidance_scale_high"] == 4 and fields["guidance_scale_low"] == 3
    first = given(parser().parse_args(words[:4]))["inputs"]
    assert first.last_image is None and first != fields["inputs"]


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "a.png").write_text("words")
    with pytest.raises(ValueError, match="is not an image that can be read"):
        given(Namespace(image=tmp_path / "a.png", last_image=None))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write(path, np.zeros((6, 16, 16, 3), np.uint8), 8)
    return path


def test_a_video_and_its_strength(video):
    words = ["generate", "a", "--video", str(video)]
    inputs = given(parser().parse_args(words))["inputs"]
    assert len(inputs.video.frames) == 6 and inputs.video.strength == 0.8
    more = ["--strength", "0.5", "--frames", "5"]
    inputs = given(parser().parse_args([*words, *more]))["inputs"]
    assert len(inputs.video.frames) == 5 and inputs.video.strength == 0.5


def test_videos_images_and_strengths_that_do_not_go_together(video):
    with pytest.raises(ValueError, match="--image and --video do not go together"):
        given(Namespace(image="a.png", video=video))
    with pytest.raises(ValueError, match="--strength goes with --video"):
        given(Namespace(strength=0.5))


@pytest.mark.parametrize("more, count", [("", 6), (":5", 5)])
def test_a_clip_to_go_on_from(video, more, count):
    words = ["generate", "a", "--extend", f"{video}{more}"]
    inputs = given(parser().parse_args(words))["inputs"]
    [keyframe] = inputs.keyframes
    assert keyframe.layout == (0, count, 1.0) and inputs.image is None


def test_a_clip_stands_beside_a_last_image_only(video, tmp_path):
    Image.fromarray(np.ones((6, 8, 3), np.uint8)).save(tmp_path / "last.png")
    words = ["generate", "a", "--extend", str(video)]
    last = ["--last-image", str(tmp_path / "last.png")]
    inputs = given(parser().parse_args([*words, *last]))["inputs"]
    assert inputs.last_image is not None and len(inputs.keyframes) == 1
    for name in ("image", "video"):
        with pytest.raises(ValueError, match="leave --image and --video out"):
            given(Namespace(extend=(video, None), **{name: video}))


def test_no_frames_of_a_clip_are_refused(video, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["generate", "a", "--extend", f"{video}:0"])
    assert "expected 1 frame or more" in capsys.readouterr().err
