"""`chorus generate` for several videos, with a cache: its output and its files."""

import json

import pytest

from chorus_jax.cli.commands import main
from chorus_jax.media.video import read_comment, read_mp4

PROMPT = "a red circle moves left on a gray background"
OTHER = "a blue square still"
SIZE = ["--frames", "5", "--height", "32", "--width", "32", "--steps", "2"]


@pytest.fixture
def generate(weights, tmp_path, monkeypatch):
    """The command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *more: main(["generate", "--weights", str(weights), *SIZE, *more])


def test_a_file_of_prompts_twice_with_a_cache(generate, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text(f"{PROMPT}\n{OTHER}\n")
    command = ["--prompts", "prompts.txt", "--cache", "cache"]
    assert generate(*command) == 0
    first = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(": ")[0] for line in first] == ["video-1.mp4", "video-2.mp4"]
    assert "seed 0, miss (" in first[0] and "steps computed" in first[1]
    assert generate(*command, "--out", "again{number}.mp4") == 0
    second = capsys.readouterr().out.splitlines()[-2:]
    assert all("seed 0, exact repeat, no step computed" in line for line in second)
    for i in "12":
        frames = [read_mp4(tmp_path / f"{n}{i}.mp4") for n in ("video-", "again")]
        assert (frames[0] == frames[1]).all()


def test_what_was_chosen_is_said_before_the_run(generate, capsys):
    steps = ["--step-cache", "skip:steps=(1,)", "--negative-prompt", "blur"]
    assert generate(PROMPT, "--seed", "1,2", "--cache", "c", *steps) == 0
    out = capsys.readouterr().out
    for line in (
        "model           tiny, transformer (wan, fingerprint ",
        "settings        Wan's usual ones: this model is not recognised; solver and",
        "sampling        unipc, shift 5, 2 steps, guidance 5\n",
        "negative prompt blur\n",
        "size            5 frames of 32x32 pixels, 16 per second\n",
        "cache           c, read and write\n",
        "step cache      skip:steps=(1,): SkipSteps(steps=(1,))\n",
    ):
        assert line in out
    assert "video-1.mp4: seed 1, miss (" in out
    assert "1 of 2 steps computed, 1 reused, " in out


def test_request_model_and_ledger_go_with_the_video(generate, tmp_path, weights):
    command = [PROMPT, "--seed", "3", "--negative-prompt", "灰", "--json"]
    assert generate(*command) == 0
    inside = json.loads(read_comment(tmp_path / "video.mp4"))
    beside = json.loads((tmp_path / "video.json").read_text())
    assert inside["request"] == beside["request"]
    assert inside["request"]["prompt"] == PROMPT and inside["request"]["seed"] == 3
    assert inside["request"]["negative_prompt"] == "灰"
    card = json.loads((weights / "model.json").read_text())
    assert inside["model"]["fingerprint"] == card["fingerprint"]
    assert inside["ledger"]["kind"] == "miss" and inside["ledger"]["equivalents"] == 2
    assert "seconds" not in inside["ledger"] and beside["ledger"]["seconds"]
    first = (tmp_path / "video.mp4").read_bytes()
    assert generate(*command) == 0
    assert (tmp_path / "video.mp4").read_bytes() == first


def test_quiet_says_nothing(generate, capsys):
    assert generate(PROMPT, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_modes_and_namespaces(generate, tmp_path, capsys):
    cache = [PROMPT, "--cache", "cache", "--seed", "3"]
    assert generate(*cache, "--cache-mode", "read") == 0
    assert generate(*cache, "--namespace", "mine") == 0
    assert generate(*cache) == 0
    assert generate(*cache, "--cache-mode", "write") == 0
    assert generate(*cache, "--namespace", "mine") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "seed 3" in line]
    kinds = ["exact" if "exact repeat" in line else "computed" for line in lines]
    assert kinds == 4 * ["computed"] + ["exact"]
    assert "look-up" in lines[2] and "look-up" not in lines[3]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "no prompt is given"),
        (["--namespace", "a"], "--namespace needs --cache DIR"),
        (["--least-score", ".5"], "--least-score needs --cache DIR"),
        (["--cache-mode", "off"], "--cache-mode needs --cache DIR"),
        (["--cache", "FILE"], "--cache FILE is a file: give a folder"),
        (["--other-images"], "--other-images needs --cache DIR"),
        (["--cache", "c", "--cache-size", "inf"], "above 0 and below 1073741824 GiB"),
        (["--out", "{nam}.mp4"], "unknown field {nam}: {number} and {seed} are filled"),
        (["--lora-skip-missing"], "--lora-skip-missing goes with --lora FILE"),
        (["--steps", "0.2,0.5"], "must fall from one step to the next, got 0.2 and th"),
        (["--cache", "c", "--policy", "FILE"], "FILE"),
        (["--cache", "c", "--policy", "none.json"], "none.json"),
        (["--step-cache", "tee"], "no step cache is named 'tee'"),
        (
            ["--step-cache", "mag:variant=wan21_t2v_1_3b,threshold=.1"],
            "MagCache's ratios are of 50 steps, the run has 2",
        ),
        (["--quality", "high"], "'high' is for 16 steps or more, this schedule has 2"),
        (["--step-cache", "every", "--quality", "high"], "--quality: leave one out"),
        (["--step-cache", "every", "--tokens", "hsa-50"], "for 16 steps or more"),
        (["--out", "."], "--out . is a folder: give a file"),
        (["--prompts", "none.txt"], "none.txt"),
        (["--height", "64000", "--width", "64000"], "64000x64000 pixels need at least"),
        (["--seed", "1,-1"], "seed must be a whole number"),
        (["--lora", "a.safetensors"], "is converted already: parts and LoRAs are"),
        (["--model", "none.safetensors"], "neither a file, a folder nor the name"),
    ],
)
def test_bad_input_is_one_line_before_the_run(
    generate, arguments, message, tmp_path, capsys
):
    (tmp_path / "FILE").write_text("")
    prompt = [PROMPT] if arguments else []
    assert generate(*prompt, *arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("chorus: ") and captured.err.count("\n") == 1
    assert message in captured.err and captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]
