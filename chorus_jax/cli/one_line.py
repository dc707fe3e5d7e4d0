"""A parser of options that says an error in one line."""

import argparse
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
