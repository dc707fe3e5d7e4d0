"""`chorus calibrate-cache` of a tiny Wan: a step cache that generate reads, errors."""

import json

import numpy as np
import pytest

from chorus_jax import write_video
from chorus_jax.cli.commands import main
from chorus_jax.intra_request import cache_file, registry
from chorus_jax.intra_request.mag import MagCache

SIZE = ["--frames", "5", "--height", "32", "--width", "32", "--steps", "5"]
PROMPTS = [f"a {colour} circle" for colour in ("red", "blue", "gray", "on")]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    file = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    file.write_text("\n".join(PROMPTS) + "\n")
    return file


@pytest.fixture(scope="module")
def made(weights, prompts):
    """A measured step cache; random weights lose much, so nearly nothing is asked."""
    out = prompts.parent / "mag.json"
    gate = ["--least-psnr", "1", "--least-ssim", "0.01", "--method", "mag"]
    command = ["calibrate-cache", str(weights), "--prompts", str(prompts)]
    assert main([*command, "--out", str(out), *SIZE, *gate]) == 0
    return out


def test_it_says_what_it_was_measured_on(made):
    measured = cache_file.read(made)
    assert isinstance(measured.cache, MagCache) and len(measured.cache.ratios) == 5
    assert measured.cache.ratios[0] == 1 and measured.cache.shift == 5.0
    assert set(measured.weights) == {"transformer", "vae", "text_encoder"}
    assert measured.run["steps"] == 5 and measured.run["height"] == 32
    # Of four prompts it is fitted to three.
    assert measured.measured["prompts"] == 1 and measured.measured["psnr"] > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["sen", "bac", "profiling", "harmonica", "racer", "planned-tokens"]
)
def test_every_fit_is_written(method, weights, prompts, tmp_path):
    out, gate = tmp_path / "cache.json", ["--least-psnr", "1", "--least-ssim", "0.01"]
    command = ["calibrate-cache", str(weights), "--prompts", str(prompts)]
    longer = [*SIZE[:-1], "12"]  # of five steps most compute all
    assert main([*command, "--method", method, "--out", str(out), *longer, *gate]) == 0
    measured = cache_file.read(out)
    assert registry.describe(measured.cache)["name"] == method
    assert 0 < measured.measured["computed"] < 1
    assert measured.measured["fit_seconds"] >= 0


def test_generate_reads_it_and_refuses_other_runs(made, weights, tmp_path, capsys):
    command = ["generate", PROMPTS[0], "--weights", str(weights), *SIZE]
    out = ["--out", str(tmp_path / "video.gif"), "--step-cache", str(made)]
    assert main([*command, *out]) == 0
    said = capsys.readouterr().out
    computed = cache_file.read(made).measured["computed"] * 5
    assert f"{computed:g} of 5 steps computed" in said
    assert main([*command, "--height", "48", *out]) == 1
    assert "measured with other settings" in capsys.readouterr().err


def test_other_weights_are_refused(made, weights, tmp_path, capsys):
    content = json.loads(made.read_text())
    content["weights"]["transformer"] = "0"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    command = ["generate", PROMPTS[0], "--weights", str(weights), *SIZE]
    out = ["--out", str(tmp_path / "video.gif"), "--step-cache", str(other)]
    assert main([*command, *out]) == 1
    assert "measured on other weights" in capsys.readouterr().err


def test_methods_without_settings_and_few_prompts_are_refused(
    weights, prompts, tmp_path, capsys
):
    few = tmp_path / "few.txt"
    few.write_text("a red circle\n")
    out = ["--out", str(tmp_path / "x.json")]
    command = ["calibrate-cache", str(weights), *SIZE, *out]
    assert main([*command, "--prompts", str(prompts), "--method", "no"]) == 1
    assert "no settings of 'no' are measured: choose one of mag" in (
        capsys.readouterr().err
    )
    assert main([*command, "--prompts", str(few), "--method", "mag"]) == 1
    assert "4 different prompts or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", "it is not JSON"),
        ("{}", "expected the fields format, cache"),
        ('{"format": 2}', "no step cache of format 1"),
    ],
)
def test_files_that_are_no_step_cache_are_refused(text, message, tmp_path, capsys):
    file = tmp_path / "cache.json"
    file.write_text(text)
    assert main(["generate", "a red circle", "--step-cache", str(file)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--method", "no"], "no settings of 'no' are measured"),
        (["--out", "."], "--out . is a folder: give a file"),
        (["--out", "cache.txt"], "--out cache.txt does not end in .json"),
        (["--out", "no/cache.json"], "cannot write no/cache.json: its folder"),
        (["--least-psnr", "nan"], "the least PSNR must be above 0 and below 60 dB"),
        (["--least-ssim", "2"], "the least SSIM must be above 0 and below 1"),
        (["--steps", "1"], "a run of one step has nothing to reuse"),
    ],
)
def test_bad_input_is_one_line_before_the_run(
    weights, prompts, arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    command = ["calibrate-cache", str(weights), "--prompts", str(prompts), *SIZE]
    assert main([*command, "--method", "mag", *arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1
    assert captured.out == "" and not list(tmp_path.iterdir())


def test_an_idle_expert_of_one_transformer_is_refused(weights, prompts, capsys):
    command = ["calibrate-cache", str(weights), "--prompts", str(prompts), *SIZE]
    assert main([*command, "--method", "mag", "--idle-expert", "host"]) == 1
    assert "is for models with two experts" in capsys.readouterr().err


def test_a_cache_of_a_video_is_refused_without_it(weights, prompts, tmp_path, capsys):
    """`--video` leaves the last steps, whose schedule is another one."""
    video, out = tmp_path / "input.mp4", tmp_path / "cache.json"
    write_video(video, np.full((5, 32, 32, 3), 90, np.uint8), 8)
    gate = ["--least-psnr", "1", "--least-ssim", "0.01", "--method", "taylor"]
    command = ["calibrate-cache", str(weights), "--prompts", str(prompts), *SIZE]
    given = ["--video", str(video), "--strength", "0.8"]
    assert main([*command, *gate, *given, "--out", str(out)]) == 0
    assert cache_file.read(out).run["steps"] == 4
    generate = ["generate", PROMPTS[0], "--weights", str(weights), *SIZE]
    target = ["--out", str(tmp_path / "video.gif"), "--step-cache", str(out)]
    assert main([*generate, *given, *target]) == 0
    capsys.readouterr()
    assert main([*generate, "--steps", "4", *target]) == 1
    assert "given_frames" in capsys.readouterr().err
