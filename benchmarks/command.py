"""Seconds of `chorus generate` with the shipped weights, as a process of its own.

    python -m benchmarks.command

Cold: the compilation cache is an empty folder. Warm: the same command again. Nothing
else may run beside it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.timing import Timing

PROMPT = "a red circle moves left on a gray background"


def seconds(steps: int, folder: Path) -> float:
    """Of one command, whose compilation cache and video are in this folder."""
    command = [sys.executable, "-m", "chorus_jax", "generate", PROMPT]
    command += ["--steps", f"{steps}", "--out", str(folder / "video.mp4")]
    apart = {"XDG_CACHE_HOME": str(folder)}
    environment = {**os.environ, **apart}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def measured(steps: int, warm: int) -> dict[str, Any]:
    """The row of a number of steps."""
    with tempfile.TemporaryDirectory() as name:
        cold = seconds(steps, Path(name))
        timing = Timing(tuple(seconds(steps, Path(name)) for _ in range(warm)))
    return {
        "row": f"{steps} steps",
        "cold_seconds": cold,
        "seconds": timing.median,
        "spread": timing.spread,
        "runs": warm,
    }


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--warm", type=int, default=5, help="runs with a full cache")
    options = top.parse_args()
    rows.commit()  # rows name it: better to fail here than after a minute
    found = [measured(steps, options.warm) for steps in (50, 4)]
    rows.save("command", found)
    print(rows.table(found, ("row", "cold_seconds", "seconds", "spread", "runs")))


if __name__ == "__main__":
    main()
