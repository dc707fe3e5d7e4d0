"""The command line: reads options, runs the command, prints errors in one line."""

import logging
import os
import sys
from collections.abc import Sequence

from chorus_jax.cli.interruption import LINE, STATUS, Interruption
from chorus_jax.cli.options import parse

UNREAD = 128 + 13  # the exit status that shells report for SIGPIPE
FORWARDED = ("convert", "export")
EXHAUSTED = "RESOURCE_EXHAUSTED"  # in the error of jax for too little device memory
TOO_LARGE = (
    "the devices have too little memory for this run: give a smaller width and height, "
    "fewer frames, more devices (--mesh), or --idle-expert host for two experts"
)


def main(
    arguments: Sequence[str] | None = None, interruption: Interruption | None = None
) -> int:
    """Runs a command; prints errors in its input as one line, without a traceback.

    Args:
        arguments: the command line's arguments; None for those of the process.
        interruption: cleans up if the process is interrupted.

    Returns:
        The exit status; the status of SIGPIPE if the reader of the output closes it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    interruption = interruption or Interruption()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        return run(arguments, interruption)
    except BrokenPipeError:
        # The reader has closed the pipe, as in `chorus info | head`. Python flushes
        # once more at exit, which must not fail again.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return UNREAD
    except (ValueError, OSError) as error:
        interruption.park()
        print(f"chorus: {in_words(error)}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if EXHAUSTED not in str(error):
            raise
        interruption.park()
        print(f"chorus: {TOO_LARGE}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # only where no Interruption is installed
        print(LINE, end="", file=sys.stderr)
        return STATUS


def in_words(error: Exception) -> str:
    """An error as text: for a system error the file and the reason, without number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror}"


def run(arguments: Sequence[str], interruption: Interruption) -> int:
    """Runs the command that the arguments name; returns the exit status."""
    if arguments and arguments[0] in FORWARDED:
        from chorus_jax.cli.converting import forward

        forward(arguments[0], arguments[1:], interruption)
        return 0
    options = parse(arguments)
    if options.name == "generate":
        from chorus_jax.cli.generate import generate

        generate(options, interruption)
    elif options.name == "cache":
        from chorus_jax.cli.cache_folder import show_cache

        show_cache(options)
    elif options.name == "calibrate":
        from chorus_jax.cli.calibrate import calibrate

        calibrate(options, interruption)
    elif options.name == "calibrate-cache":
        from chorus_jax.cli.calibrate_cache import calibrate_cache

        calibrate_cache(options, interruption)
    elif options.name == "demo":
        from chorus_jax.cli.demo.command import demo

        demo(options, interruption)
    elif options.name == "fit":
        from chorus_jax.cli.fit import fit

        return fit(options)
    else:
        from chorus_jax.cli.info import show_info

        show_info(options)
    sys.stdout.flush()
    return 0
