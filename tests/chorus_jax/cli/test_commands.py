"""The command line, in this process: generate, info, and bad input."""

import os
import subprocess
import sys

import numpy as np
import pytest

from chorus_jax.cli.commands import main
from chorus_jax.media.video import read_mp4, write

PROMPT = "a red circle moves left on a gray background"
SIZE = ["--frames", "5", "--height", "32", "--width", "32", "--steps", "2"]


def generate(weights, out, *more):
    command = ["generate", PROMPT, "--weights", str(weights), "--out", str(out)]
    return main([*command, *SIZE, "--seed", "3", *more])


def test_generate_writes_a_video_and_draws_no_bars_without_a_terminal(
    weights, tmp_path, capsys
):
    out = tmp_path / "video.mp4"
    assert generate(weights, out) == 0
    captured = capsys.readouterr()
    assert read_mp4(out).shape == (5, 32, 32, 3)
    assert f"{out}: seed 3, 2 of 2 steps computed, embed" in captured.out
    assert captured.err == ""


def test_generate_writes_what_the_suffix_says(weights, tmp_path):
    for name in ("video.gif", "video.png"):
        assert generate(weights, tmp_path / name) == 0
        assert (tmp_path / name).stat().st_size > 0


def test_the_same_seed_gives_the_same_file(weights, tmp_path):
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file in files:
        assert generate(weights, file) == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_config_file_gives_the_request_and_options_win(weights, tmp_path, capsys):
    config = tmp_path / "mine.py"
    config.write_text(
        "from chorus_jax.request import Request\n"
        "def get_config():\n"
        "    return Request('', frames=1, height=16, width=16, steps=2, shift=2.0)\n"
    )
    out = tmp_path / "video.mp4"
    command = ["generate", PROMPT, "--weights", str(weights), "--out", str(out)]
    assert main([*command, "--config", str(config), "--width", "32"]) == 0
    assert read_mp4(out).shape == (1, 16, 32, 3)


def test_too_little_device_memory_is_one_line(weights, tmp_path, monkeypatch, capsys):
    def denoise(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")

    monkeypatch.setattr("chorus_jax.engine.pipeline.Pipeline.denoise", denoise)
    assert generate(weights, tmp_path / "video.gif") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("chorus: the devices have too little memory for this run")


def test_a_folder_that_cannot_be_noted_keeps_no_video_back(
    weights, tmp_path, monkeypatch, caplog
):
    """The disk may be full: entries then stay in memory."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("chorus_jax.cli.cache_notes.aside", full)
    out, cache = tmp_path / "video.gif", ["--cache", str(tmp_path / "cache")]
    assert generate(weights, out, *cache) == 0
    assert out.exists() and "No space left on device" in caplog.text


def test_a_reader_that_leaves_is_no_error():
    code = (
        "import sys; from chorus_jax.cli.commands import main; sys.exit(main(['info']))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert found.returncode == 141 and "ipe" not in found.stderr


def test_a_mesh_of_two_devices(weights, tmp_path, monkeypatch):
    import jax

    devices = jax.devices()[:2]
    monkeypatch.setattr(jax, "devices", lambda *_: devices)
    assert generate(weights, tmp_path / "video.png", "--mesh", "1,2,1") == 0


def test_info_tells_of_machine_and_weights(weights, capsys):
    assert main(["info", "--weights", str(weights)]) == 0
    out = capsys.readouterr().out
    for word in ("jax ", "(cpu", "compiled programs", "fingerprint", "WanDiT", "GiB"):
        assert word in out
    assert "chunked" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--weights", "nowhere"],
            "'nowhere' is neither a file, a folder nor the name of weights",
        ),
        (["--out", "video.avi"], "should end in .mp4, .gif or .png"),
        (["--out", "missing/video.mp4"], "chorus: cannot write missing/video.mp4: its"),
        (["--fps", "0"], "frames per second must be 0.01 to 1000, got 0"),
        (["--config", "missing.py"], "missing.py is no Python file"),
        (["--config", "missing"], "no config's name"),
        (["--guidance-scale", "nan"], "guidance_scale must be finite and 0 or more"),
        (["--height", "30"], "height must be a multiple of 8, got 30"),
        (["--seed", "-1"], "seed must be a whole number"),
        (["--mesh", "3,1,1"], "needs 3 devices, but 8 are given"),
    ],
)
def test_bad_input_is_one_line(arguments, message, weights, tmp_path, capsys):
    assert generate(weights, tmp_path / "video.mp4", *arguments) == 1
    err = capsys.readouterr().err
    assert message in err and err.startswith("chorus: ") and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_malformed_options_say_what_was_expected(weights, tmp_path, capsys):
    for option, value in (("--mesh", "1,2"), ("--steps", "many")):
        with pytest.raises(SystemExit):
            generate(weights, tmp_path / "video.mp4", option, value)
        assert f"got '{value}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "steps, part, config",
    [("2", "transformer", "shapes"), ("4", "transformer_4step", "shapes_4step")],
)
def test_without_weights_the_shipped_ones_run(
    shipped_weights, tmp_path, capsys, caplog, steps, part, config
):
    from chorus_jax.engine.pipeline import Pipeline
    from chorus_jax.request import Request

    out = tmp_path / "video.png"
    command = ["generate", PROMPT, "--out", str(out), *SIZE, "--steps", steps]
    assert main([*command, "--seed", "3"]) == 0
    captured = capsys.readouterr()
    assert f"model           shapes, {part} (wan, " in captured.out
    assert f"weights were trained for ({config})\n" in captured.out
    assert f" {steps} of {steps} steps computed" in captured.out
    assert [r.levelname for r in caplog.records] == 3 * ["WARNING"]
    schedule = {"steps": 2, "guidance_scale": 3.0}
    if part == "transformer_4step":
        schedule = {"steps": (1.0, 0.75, 0.5, 0.25), "guidance_scale": 1.0}
    request = Request(
        PROMPT, "", 5, 32, 32, solver="euler", shift=3.0, seed=3, **schedule
    )
    [video] = Pipeline.load(shipped_weights, transformer=part)(request)
    expected = tmp_path / "expected.png"
    write(expected, video.frames, 16)
    assert out.read_bytes() == expected.read_bytes()


def test_info_tells_of_the_shipped_weights(shipped_weights, capsys, monkeypatch):
    from chorus_jax.checkpoints import shipped

    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"{shipped_weights} (wan)" in out
    assert "transformer_4step     WanDiT" in out
    assert "(in place of transformer)" in out
    monkeypatch.setattr(shipped, "ROOT", shipped_weights / "none")
    assert main(["info"]) == 0
    assert "none came with this installation" in capsys.readouterr().out


def test_frames_are_the_pipelines(weights, tmp_path):
    from chorus_jax.engine.pipeline import Pipeline
    from chorus_jax.request import Request

    out = tmp_path / "video.mp4"
    assert generate(weights, out) == 0
    request = Request(PROMPT, frames=5, height=32, width=32, steps=2, seed=3)
    [video] = Pipeline.load(weights)(request)
    # The codec takes much of the noise that random weights make, but the same of both.
    write(tmp_path / "other.mp4", video.frames, 16)
    difference = np.abs(read_mp4(out).astype(float) - read_mp4(tmp_path / "other.mp4"))
    assert difference.mean() < 1


def test_a_file_is_no_folder_for_the_demo(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "notes.txt")]) == 1
    captured = capsys.readouterr()
    assert "notes.txt is a file: give a folder" in captured.err and not captured.out


def test_info_on_no_model_says_that_alone(tmp_path, capsys):
    assert main(["info", "--weights", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "has no model.json" in captured.err and captured.out == ""
