"""Entry point of the command line: `chorus`, or `python -m chorus_jax`."""

import gc
import os
import signal

OBJECTS = 100_000  # allocations between garbage collections; 700 is usual


def start() -> int:
    """Runs the command of this process; returns the exit status.

    The handler of Ctrl-C is installed before anything heavy is imported. The garbage
    collector is then made to run rarely, because tracing makes many objects and hardly
    any garbage: with Python's default threshold, collections take a tenth of a short
    command's time, and the last one, at exit, another tenth.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
    from chorus_jax.cli.interruption import Interruption

    interruption = Interruption()
    interruption.install()
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    from chorus_jax.cli.commands import main

    try:
        return main(interruption=interruption)
    finally:
        gc.freeze()


def stop(*_: object) -> None:
    """Ends the process at Ctrl-C before there is anything to clean up."""
    os.write(2, b"chorus: stopped\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    raise SystemExit(start())
