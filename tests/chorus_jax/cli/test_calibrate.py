"""`chorus calibrate` of a tiny Wan: a policy that generate reads, kept work, errors."""

import itertools
import json

import pytest

from chorus_jax.cli.commands import main
from chorus_jax.inter_request.policy import policy_file

SIZE = ["--frames", "5", "--height", "32", "--width", "32", "--steps", "3"]
PROMPTS = [
    f"a {colour} {shape} {motion}"
    for colour, shape, motion in itertools.product(
        ("red", "blue", "gray"), ("circle", "square"), ("left", "still", "moves")
    )
]
ANY = ["--least-psnr", "1", "--least-ssim", "0.01"]  # random weights lose much


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    file = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    file.write_text("\n".join([*PROMPTS, PROMPTS[0]]) + "\n")
    return file


@pytest.fixture(scope="module")
def policy(weights, prompts):
    """A calibrated policy, with its work folder beside it."""
    out = prompts.parent / "policy.json"
    command = ["calibrate", str(weights), "--prompts", str(prompts), "--out", str(out)]
    assert main([*command, *SIZE, *ANY, "--minutes", "5"]) == 0
    return out


def test_the_policy_is_of_these_weights_and_is_read(policy, weights, tmp_path, capsys):
    measured = policy_file.read(policy)
    assert measured.policy.tiers and measured.policy.steps == 3
    assert set(measured.weights) == {"transformer", "vae", "text_encoder"}
    cached = ["--cache", str(tmp_path / "cache"), "--policy", str(policy)]
    out = ["--out", str(tmp_path / "{number}.gif"), "--weights", str(weights)]
    assert main(["generate", *PROMPTS, *SIZE, *cached, *out]) == 0
    assert "hit (score" in capsys.readouterr().out


def test_the_same_command_again_runs_nothing(policy, weights, prompts, capsys):
    work = policy.with_name("policy.json.work")
    runs = (work / "runs.jsonl").read_text().splitlines()
    videos = sorted(work.glob("*.npy"))
    assert len(videos) == len(PROMPTS) and not list(work.glob("*.part"))
    # A process that was killed while it wrote left half a line.
    (work / "runs.jsonl").write_text("\n".join([*runs, runs[0][:9]]) + "\n")
    before = policy.read_text()
    command = ["calibrate", str(weights), "--prompts", str(prompts), "--out"]
    assert main([*command, str(policy), *SIZE, *ANY, "--minutes", "0.5"]) == 0
    assert (work / "runs.jsonl").read_text().splitlines()[: len(runs)] == runs
    assert len((work / "runs.jsonl").read_text().splitlines()) == len(runs) + 1
    assert policy.read_text() == before
    assert "fresh prompts" in capsys.readouterr().out
    assert all("psnr" in json.loads(line)["scores"] for line in runs)


def test_without_time_nothing_is_written_and_work_is_kept(
    policy, weights, prompts, capsys
):
    out = policy.with_name("late.json")
    command = ["calibrate", str(weights), "--prompts", str(prompts), "--out", str(out)]
    assert main([*command, *SIZE, *ANY, "--minutes", "1e-9"]) == 1
    assert "run the same command again" in capsys.readouterr().err
    assert not out.exists() and out.with_name("late.json.work").is_dir()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--least-psnr", "60"], "the least PSNR must be above 0 and below 60 dB"),
        (["--least-ssim", "1"], "the least SSIM must be above 0 and below 1"),
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--steps", "1"], "a run of one step has nothing to reuse"),
        (["--frames", "1"], "videos are compared from 5 frames on"),
        (["--prompts", "few.txt"], "1 different prompts are too few"),
        (["--prompts", "none.txt"], "none.txt"),
        (["--out", "."], "--out . is a folder"),
        (["--out", "no/policy.json"], "cannot write no/policy.json: its folder"),
        (["--work", "few.txt"], "--work few.txt is a file"),
        (["--height", "64000", "--width", "64000"], "64000x64000 pixels need at least"),
    ],
)
def test_bad_input_is_one_line_before_the_run(
    weights, prompts, arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.txt").write_text("a circle\na circle\n")
    command = ["calibrate", str(weights), "--prompts", str(prompts), *SIZE]
    assert main([*command, *arguments]) == 1
    err = capsys.readouterr().err
    assert err.startswith("chorus: ") and message in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["few.txt"]


def test_a_folder_without_a_model_is_one_line(weights, tmp_path, capsys):
    assert main(["calibrate", str(tmp_path), "--prompts", "x"]) == 1
    assert "chorus: " in capsys.readouterr().err
