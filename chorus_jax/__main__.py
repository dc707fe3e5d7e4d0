"""The command line as a process: `chorus`, or `python -m chorus_jax`."""

import gc
import os
import signal

OBJECTS = 100_000  # made since the last collection; 700 is usual


def start() -> int:
    """Runs the command of this process; returns the exit status.

    Ctrl-C ends the process from here on, so nothing heavy is imported before. Tracing
    makes many objects and hardly any garbage: to look for it as often as usual takes a
    tenth of a short command's time, and so does a last look at its end.
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
