"""`chorus fit`: its answer, its exit status, its errors."""

from dataclasses import replace

import pytest

from chorus_jax.cli.commands import main
from chorus_jax.fit import topologies


def test_a_small_model_fits(capsys):
    assert main(["fit", "shapes", "64x64x17", "--quick"]) == 0
    out = capsys.readouterr().out
    for words in ("shapes, 64x64x17, 50 steps, on v6e:2x2", "mesh", "denoising"):
        assert words in out
    assert "\nfits: " in out and "(estimated)" in out


def test_a_large_video_does_not(capsys, monkeypatch):
    small = replace(topologies.GENERATIONS["v6e"], gib=0.01)
    monkeypatch.setitem(topologies.GENERATIONS, "v6e", small)
    assert main(["fit", "shapes", "256x256x17", "--quick", "--active", "0.5"]) == 3
    out = capsys.readouterr().out
    assert "\ndoes not fit: " in out and "GiB more" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["shapes", "--topology", "v6e"], "no topology 'v6e' is known"),
        (["sora"], "neither a folder nor a published model"),
        (["shapes", "65x64x17"], "height must be a multiple of"),
        (["shapes", "1600000x1600000x17"], "and at most 4194304 are answered for"),
        (["shapes", "--active", "2"], "a share above 0 and below 1"),
        (
            ["shapes", "--idle-expert", "host"],
            "has one transformer, and no idle expert",
        ),
        (["shapes", "--active", ".5", "--step-cache", "pab"], "give only one of them"),
        (["shapes", "--mesh", "1,1,1"], "--mesh has 1 devices, but v6e:2x2 has 4"),
        (
            ["shapes", "--step-cache", "mag:variant=wan21_t2v_1_3b,threshold=.1"],
            "MagCache's ratios were measured at shift",
        ),
        (["shapes", "--step-cache", "sora"], "no step cache is named"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(["fit", *arguments, "--quick"]) == 1
    assert message in capsys.readouterr().err


def test_a_size_is_three_numbers(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "shapes", "big"])
    assert "such as 480x832x81" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("wan21_i2v_480p", "480x832x81"),
        ("wan21_flf2v_720p", "720x1280x81"),
        ("wan22_i2v_a14b", "720x1280x81"),
        ("wan22_ti2v_5b", "704x1280x121", "--image"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_models_that_read_images_are_answered_for(arguments, capsys):
    options = ("--quick", "--topology", "v5p:2x2x2")
    assert main(["fit", *arguments, *options]) == 0
    assert "denoising" in capsys.readouterr().out
