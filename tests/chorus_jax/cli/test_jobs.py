"""Prompts and seeds to videos, and the names of their files."""

from pathlib import Path

import pytest

from chorus_jax.cli.jobs import PromptWithSeed, jobs_of
from chorus_jax.cli.options import parser
from chorus_jax.cli.outputs import check, outputs_of


def jobs(*arguments):
    return jobs_of(parser().parse_args(["generate", *arguments]))


def test_a_video_for_each_prompt_and_seed(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeffb\n\n  c \n", encoding="utf-8")
    made = jobs("a", "--prompts", str(file), "--seed", "4,2")
    assert made == [PromptWithSeed(p, s) for p in "abc" for s in (4, 2)]
    assert jobs("a", "--seed", "7", "--count", "3") == [
        PromptWithSeed("a", i) for i in (7, 8, 9)
    ]
    assert jobs("a", "--count", "2") == 2 * [PromptWithSeed("a", None)]


def test_seeds_with_a_cache_are_fixed_so_that_a_repeat_is_found():
    assert jobs("a", "--cache", "c", "--count", "2") == [
        PromptWithSeed("a", 0),
        PromptWithSeed("a", 1),
    ]
    write = ("--cache", "c", "--cache-mode", "write")
    assert jobs("a", *write) == [PromptWithSeed("a", None)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "no prompt is given: give PROMPT, or --prompts FILE"),
        (["--prompts", "EMPTY"], "holds no prompt"),
        (["a", " "], "a prompt is empty"),
        (["--prompts", "."], "--prompts . is a folder"),
        (["--prompts", "none.txt"], "--prompts none.txt: there is no such file"),
        (["--prompts", "BYTES"], "is not UTF-8 text"),
        (["a", "--count", "0"], "--count must be from 1 to 100000, got 0"),
        (["a", "--count", "999999999"], "--count must be from 1 to 100000"),
        (["a", "--count", "2", "--seed", "1,2"], "several seeds or --count, not both"),
    ],
)
def test_what_gives_no_videos_is_refused(arguments, message, tmp_path):
    (tmp_path / "EMPTY").write_text("\n")
    (tmp_path / "BYTES").write_bytes(b"\xff\xfe")
    names = {name: str(tmp_path / name) for name in ("EMPTY", "BYTES")}
    with pytest.raises(ValueError, match=message):
        jobs(*(names.get(argument, argument) for argument in arguments))


def names(out, count, seeds=None):
    some = [PromptWithSeed("a", seeds and seeds[i]) for i in range(count)]
    return [str(each.video) for each in outputs_of(Path(out), some, False)]


def test_names_of_files():
    assert names("v.mp4", 1) == ["v.mp4"]
    assert names("a/v.mp4", 2) == ["a/v-1.mp4", "a/v-2.mp4"]
    assert names("v.gif", 11)[::10] == ["v-01.gif", "v-11.gif"]
    assert names("{number}.mp4", 2) == ["1.mp4", "2.mp4"]
    assert names("v{seed}.mp4", 2, (5, 3)) == ["v5.mp4", "v3.mp4"]
    with pytest.raises(ValueError, match="is one file for several of 2 videos"):
        names("v{seed}.mp4", 2, (5, 5))
    with pytest.raises(ValueError, match="names seeds: give --seed"):
        names("v{seed}.mp4", 1)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "v.json").mkdir()
    with pytest.raises(ValueError, match="is a folder: give a file, such as .*/video"):
        outputs_of(tmp_path, [PromptWithSeed("a", 1)], False)
    with pytest.raises(ValueError, match="v.json is to be written, but is a folder"):
        check(outputs_of(tmp_path / "v.mp4", [PromptWithSeed("a", 1)], True), 8)
    with pytest.raises(OSError, match="its folder is missing or not writable"):
        check(outputs_of(tmp_path / "no" / "v.mp4", [PromptWithSeed("a", 1)], False), 8)
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]
