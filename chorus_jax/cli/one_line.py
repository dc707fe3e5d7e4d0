"""An option parser that prints errors in one line."""

import argparse
from pathlib import Path
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage.

    Options cannot be abbreviated, so that a misspelt one is not taken for another.
    """

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Prints the error and ends the process with status 2."""
        words = " ".join(message.removeprefix("argument ").split())
        self.exit(2, f"{self.prog}: {words}; see {self.prog} --help\n")


def path(text: str) -> Path:
    """Parses a path. Refuses "", which `Path` reads as the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    return Path(text)


def name(text: str) -> str:
    """Parses a name. Refuses "", which would count as no name."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty text")
    return text
