"""The report of a request: what was computed, guidance, and its images."""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from chorus_jax.cli import report
from chorus_jax.cli.commands import main
from chorus_jax.engine import Ledger
from chorus_jax.families import registry
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request

GRAY = np.full((4, 6, 3), 128, np.uint8)


@pytest.mark.parametrize(
    "amounts, words",
    [
        ({}, ""),
        ({"reused": 1.5}, ", 1.5 reused"),
        ({"forecast": 2.25}, ", 2.25 forecast"),
        ({"reused": 1.0, "forecast": 0.5}, ", 1 reused, 0.5 forecast"),
    ],
)
def test_what_was_not_computed_in_words(amounts, words):
    ledger = Ledger("miss", 6, 3.5, **amounts)
    assert report.computed(ledger) == f"3.5 of 6 steps computed{words}"


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"guidance_scale": 3.5}, "guidance 3.5"),
        ({"guidance_scale": 1.0}, "no guidance"),
        ({"guidance_scale_low": 3.0}, "guidance 5 at high noise and 3 at low noise"),
    ],
)
def test_guidance_in_words(fields, words):
    assert report.sampling(Request("a", **fields)).endswith(f"50 steps, {words}")


def test_images_are_described_by_size_and_digest():
    request = Request("a", inputs=InputMedia(GRAY, GRAY))
    assert "6x4 and 6x4 pixels" in report.images(request)["images"]
    fields = json.loads(json.dumps(report.fields_of(request)))
    assert fields["inputs"] == request.inputs.digest and fields["prompt"] == "a"
    plain = Request("a")
    assert report.images(plain) == {} and report.fields_of(plain)["inputs"] is None


SETTINGS = [
    (family.name, name)
    for family in registry.FAMILIES.values()
    for name in family.published
]


@pytest.mark.parametrize("family, name", SETTINGS)
def test_the_settings_of_every_published_model_are_json(family, name):
    """A video is written with them, after all the work: LTX's have a schedule."""
    defaults = registry.FAMILIES[family].published[name]
    request = replace(defaults.request, prompt="a", seed=1)
    fields = json.loads(json.dumps(report.fields_of(request)))
    assert fields["prompt"] == "a" and len(fields) == len(dataclasses.fields(request))


@pytest.mark.parametrize("family, name", SETTINGS)
def test_frames_per_second_reach_what_depends_on_them(family, name):
    """LTX's positions, and the length of LTX-2's sound: `--fps` changes these too."""
    defaults = registry.FAMILIES[family].published[name]
    rate = None if family == "wan" else float(defaults.fps)
    assert defaults.request.fps == rate


def test_images_are_read_from_their_options(weights, tmp_path, capsys):
    file = tmp_path / "gray.png"
    Image.fromarray(GRAY).save(file)
    command = ["generate", "a cat", "--weights", str(weights), "--frames", "5"]
    command += ["--height", "32", "--width", "32", "--out", str(tmp_path / "a.mp4")]
    for more, message in [
        (["--image", str(file)], "of words alone: leave the image out"),
        (["--last-image", str(file)], "--last-image goes with --image"),
        (["--image", str(tmp_path / "none.png")], "is not an image that can be read"),
        (["--guidance-scale-high", "3"], "are for models with two experts"),
    ]:
        assert main([*command, *more]) != 0
        assert message in capsys.readouterr().err
