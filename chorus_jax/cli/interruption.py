"""Ctrl-C and SIGTERM: end the process wherever it is, with status 130 or 143 and one
line."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STATUS = 128 + signal.SIGINT  # of a process that Ctrl-C ended
LINE = "chorus: stopped\n"


class Interruption:
    """Ends the process at Ctrl-C or SIGTERM, also while it imports or compiles.

    A thread waits for the signal: the main thread may be in a call that does not
    return for minutes, and an exception there is lost or ends in a traceback.

    Attributes:
        cleanups: called before the end, the newest first; each removes or completes
            what is half-written.
    """

    def __init__(self) -> None:
        self.cleanups: list[Callable[[], None]] = []
        self._ending = threading.Event()

    def install(self) -> None:
        """Takes over both signals, except those that the process was started to
        ignore."""
        taken = [x for x in SIGNALS if signal.getsignal(x) is not signal.SIG_IGN]
        if not taken:
            return
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        threading.Thread(target=self._wait, args=(reading,), daemon=True).start()
        # The C-level handler writes to the pipe at once, even if the main thread is
        # busy.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in taken:
            signal.signal(number, lambda *_: None)

    def park(self) -> None:
        """Blocks forever if the process is ending, else returns at once.

        Without this, the main thread might print errors about files that the cleanups
        have removed.
        """
        while self._ending.is_set():
            time.sleep(1)

    def _wait(self, reading: int) -> NoReturn:
        number = 0
        while number not in SIGNALS:  # a library may handle others, such as SIGWINCH
            number = os.read(reading, 1)[0]
        self._ending.set()
        for cleanup in reversed(self.cleanups):
            with suppress(Exception):
                cleanup()
        # On a terminal, a progress bar may occupy the current line.
        line = "\n" + LINE if sys.stderr is not None and sys.stderr.isatty() else LINE
        with suppress(OSError):
            os.write(2, line.encode())
        os._exit(128 + number)
