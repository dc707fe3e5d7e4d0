"""A parser of options that says an error in one line."""

import argparse
from pathlib import Path
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong and where the options are listed, without the usage.

    No option is abbreviated: a misspelt one is not taken for another.
    """

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        words = " ".join(message.removeprefix("argument ").split())
        self.exit(2, f"{self.prog}: {words}; see {self.prog} --help\n")


def path(text: str) -> Path:
    """The path of an option. An empty one would be the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    return Path(text)
