"""The command line as a process: `chorus`, or `python -m chorus_jax`."""

import gc

from chorus_jax.cli.commands import main

OBJECTS = 100_000  # made since the last collection; 700 is usual


def start() -> int:
    """Runs the command of this process; returns the exit status.

    Tracing makes many objects and hardly any garbage: to look for it as often as usual
    takes a tenth of a short command's time, and so does a last look at its end.
    """
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    try:
        return main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    raise SystemExit(start())
