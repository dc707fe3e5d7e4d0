"""Runs parts one after the other, each within its time, even if one of them fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.accelerator.parts import TimedPart

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = "CHORUS_PART_SECONDS"  # tells a part how long it may take
LOG: Final = "log.txt"  # what all parts print
GRACE: Final = 10.0  # seconds between SIGTERM and SIGKILL


def run_all(parts: Sequence[TimedPart], folder: Path) -> bool:
    """Runs the parts one after the other; returns whether all succeeded.

    Appends a row per part to parts.jsonl in the folder.
    """
    spare, well = 0.0, True
    for part in parts:
        seconds = part.seconds + (spare if part.takes_rest else 0.0)
        print(f"{part.name}: up to {seconds:.0f} s", flush=True)
        began = time.monotonic()
        code = run(part, seconds, folder)
        taken = time.monotonic() - began
        spare += max(0.0, part.seconds - taken)
        row = {"part": part.name, "seconds": round(taken, 1), "limit": round(seconds)}
        row |= {"code": code, "timed_out": code is None}
        with (folder / "parts.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{row}\n{tail(folder / LOG)}", flush=True)
        well = well and code == 0
    return well


def run(part: TimedPart, seconds: float, folder: Path) -> int | None:
    """Runs a part; returns its exit code, or None if its time was up."""
    environment = {**os.environ, **part.environment, SECONDS: f"{seconds}"}
    environment["PYTHONUNBUFFERED"] = "1"
    with (folder / LOG).open("a") as log:
        log.write(f"=== {part.name}\n")
        log.flush()
        process = subprocess.Popen(
            [sys.executable, *part.arguments],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            end(process)
            return None


def end(process: subprocess.Popen) -> None:
    """Ends a process and its children, by SIGTERM and then by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.wait(GRACE)
            return
        except subprocess.TimeoutExpired:
            continue


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, with only the last state of a progress bar."""
    text = path.read_text(errors="replace")
    shown = [line.rsplit("\r", 1)[-1] for line in text.splitlines()]
    return "\n".join(f"  {line}" for line in shown[-lines:])
