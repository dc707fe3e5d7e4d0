"""The videos of `chorus generate`: one per prompt and seed."""

import argparse
from dataclasses import dataclass
from pathlib import Path

MOST_VIDEOS = 100_000  # per prompt


@dataclass(frozen=True)
class PromptWithSeed:
    """One video of `chorus generate`.

    Attributes:
        prompt: the text prompt of the video.
        seed: the seed of its noise; None for a random one.
    """

    prompt: str
    seed: int | None


def jobs_of(options: argparse.Namespace) -> list[PromptWithSeed]:
    """The videos of a command: one for each prompt and seed.

    Raises:
        ValueError: if there is no prompt or an empty one, or for a `--count` out of
            range or together with several seeds.
    """
    prompts = [*options.prompt, *lines_of(options.prompts)]
    if not prompts:
        raise ValueError("no prompt is given: give PROMPT, or --prompts FILE")
    if not all(prompt.strip() for prompt in prompts):
        raise ValueError("a prompt is empty: say what the video shows")
    return [
        PromptWithSeed(prompt, seed) for prompt in prompts for seed in seeds_of(options)
    ]


def lines_of(file: Path | None) -> list[str]:
    """The prompts of a file, one per line; blank lines are skipped."""
    if file is None:
        return []
    if file.is_dir():
        raise ValueError(
            f"--prompts {file} is a folder: give a file with one prompt per line"
        )
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors write a mark first
    except FileNotFoundError as error:
        raise ValueError(f"--prompts {file}: there is no such file") from error
    except OSError as error:
        raise ValueError(f"--prompts {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--prompts {file} is not UTF-8 text: byte {error.start} is not"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"--prompts {file} holds no prompt: write one per line")
    return lines


def seeds_of(options: argparse.Namespace) -> list[int | None]:
    """The seeds that every prompt is run with.

    If none is given and a cache is read, they count up from 0 rather than being random:
    a request without a seed always asks for a new video, never for a stored one.
    """
    count, given = options.count, options.seed
    if not 1 <= count <= MOST_VIDEOS:
        raise ValueError(f"--count must be from 1 to {MOST_VIDEOS}, got {count}")
    if given is not None and len(given) > 1:
        if count > 1:
            raise ValueError("give several seeds or --count, not both")
        return list(given)
    if given is None:
        if options.cache is None or options.cache_mode in ("write", "off"):
            return [None] * count
        given = (0,)
    return [given[0] + i for i in range(count)]
