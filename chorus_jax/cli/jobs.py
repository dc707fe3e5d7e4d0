"""The videos of `chorus generate`: one per prompt and seed."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PromptWithSeed:
    """One video of `chorus generate`.

    Attributes:
        prompt: what it shows.
        seed: of its noise; None for one that is drawn.
    """

    prompt: str
    seed: int | None


def jobs_of(options: argparse.Namespace) -> list[PromptWithSeed]:
    """All jobs of a command: for each prompt one per seed.

    Raises:
        ValueError: if there is no prompt, or no whole number of videos.
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
            f"--prompts {file} is a folder: give a file, a prompt per line"
        )
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(f"--prompts {file}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"--prompts {file} is not UTF-8 text: {error}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"--prompts {file} holds no prompt: write one per line")
    return lines


def seeds_of(options: argparse.Namespace) -> list[int | None]:
    """The seeds of each prompt.

    With a cache to read they begin at 0 rather than being drawn: a request without a
    seed asks for a video that is not there yet.
    """
    count, given = options.count, options.seed
    if count < 1:
        raise ValueError(f"--count must be 1 or more, got {count}")
    if given is not None and len(given) > 1:
        if count > 1:
            raise ValueError("give several seeds or --count, not both")
        return list(given)
    if given is None:
        if options.cache is None or options.cache_mode in ("write", "off"):
            return [None] * count
        given = (0,)
    return [given[0] + i for i in range(count)]
