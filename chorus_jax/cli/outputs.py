"""Names and checks the output files of a command before the run."""

import re
from dataclasses import dataclass
from pathlib import Path

from chorus_jax.cli.jobs import PromptWithSeed
from chorus_jax.media import video, writing

NUMBER, SEED = "{number}", "{seed}"


@dataclass(frozen=True)
class OutputFiles:
    """The files of one video.

    Attributes:
        video: the path of the video.
        json: the path of the JSON file that describes it; None if none is written.
    """

    video: Path
    json: Path | None


def outputs_of(
    out: Path, jobs: list[PromptWithSeed], with_json: bool
) -> list[OutputFiles]:
    """The files of all videos. Raises a ValueError if two have the same name, or if
    `--out` is a folder."""
    if out.is_dir():
        raise ValueError(
            f"--out {out} is a folder: give a file, such as {out / 'video.mp4'}"
        )
    names = [named(out, number, job, len(jobs)) for number, job in enumerate(jobs, 1)]
    if len(set(names)) < len(names):
        raise ValueError(
            f"--out {out} is one file for several of {len(names)} videos: put "
            f"{NUMBER} into it, or leave both {NUMBER} and {SEED} out"
        )
    return [
        OutputFiles(name, name.with_suffix(".json") if with_json else None)
        for name in names
    ]


def named(out: Path, number: int, job: PromptWithSeed, count: int) -> Path:
    """The file of video `number`, counted from 1, of `count` videos.

    Raises:
        ValueError: for a field other than `{number}` and `{seed}`, and for `{seed}`
            without `--seed`.
    """
    unknown = {*re.findall(r"{\w*}", out.name)} - {NUMBER, SEED}
    if unknown:
        raise ValueError(
            f"--out {out} has the unknown field {min(unknown)}: {NUMBER} and {SEED} "
            "are filled in"
        )
    digits = f"{number:0{len(str(count))}}"
    name = out.name
    if SEED in name and job.seed is None:
        raise ValueError(f"--out {out} names seeds: give --seed")
    if NUMBER in name or SEED in name:
        name = name.replace(NUMBER, digits).replace(SEED, str(job.seed))
    elif count > 1:
        name = f"{out.stem}-{digits}{out.suffix}"
    return out.with_name(name)


def check_file(out: Path, example: str) -> None:
    """Raises the errors that writing the file of `--out` would raise, before the run.

    Args:
        out: the file.
        example: the name of such a file.

    Raises:
        ValueError: for a folder.
        OSError: for a folder that is missing or not writable.
    """
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: give a file, such as {example}")
    with writing.aside(out, keep=False):
        pass


def check(outputs: list[OutputFiles], fps: int) -> None:
    """Raises the errors that writing the videos would raise, before the run.

    Raises:
        ValueError: for a folder, an unknown suffix or an impossible rate.
        OSError: for a folder that is missing or not writable.
    """
    for output in outputs:
        for path in filter(None, (output.video, output.json)):
            if path.is_dir():
                raise ValueError(f"{path} is to be written, but is a folder")
    for parent in {output.video.parent for output in outputs}:
        first = next(x for x in outputs if x.video.parent == parent)
        video.check(first.video, fps)
