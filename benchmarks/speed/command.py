"""Times the commands `chorus generate` and `chorus demo`, including start-up.

    python -m benchmarks.speed.command
    python -m benchmarks.speed.command --rows demo

They run in their own processes with the shipped weights. A cold run has an empty
compilation cache; a warm run repeats the same command. The demo runs once, cold (goal:
under 180 seconds). Nothing else should run on the machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.lib import rows
from benchmarks.lib.timing import Timing

ROWS = ("generate", "demo")
COLUMNS = ("row", "cold_seconds", "seconds", "spread", "runs")
PROMPT = "a red circle moves left on a gray background"


def seconds(arguments: Sequence[str], folder: Path) -> float:
    """Runs `chorus` with these arguments; returns the seconds.

    The compilation cache is in `folder`.
    """
    command = [sys.executable, "-m", "chorus_jax", *arguments]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def generate(steps: int, warm: int) -> dict[str, Any]:
    """Times `chorus generate` with this number of steps: a cold run, then warm ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = ["generate", PROMPT, "--steps", f"{steps}"]
        command += ["--out", str(folder / "video.mp4")]
        cold = seconds(command, folder)
        timing = Timing(tuple(seconds(command, folder) for _ in range(warm)))
    return {
        "row": f"{steps} steps",
        "cold_seconds": cold,
        "seconds": timing.median,
        "spread": timing.spread,
        "runs": warm,
    }


def demo() -> dict[str, Any]:
    """Times a cold run of the demo."""
    with tempfile.TemporaryDirectory() as name:
        command = ["demo", "--out", str(Path(name) / "demo")]
        return {"row": "demo", "cold_seconds": seconds(command, Path(name))}


def measured(names: Sequence[str], warm: int) -> list[dict[str, Any]]:
    """Times these commands; returns their rows."""
    made = []
    if "generate" in names:
        made += [generate(steps, warm) for steps in (50, 4)]
    if "demo" in names:
        made.append(demo())
    return made


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    top.add_argument("--warm", type=int, default=5, help="runs with a full cache")
    options = top.parse_args()
    rows.commit()  # rows need it: better to fail here than after a minute
    made = measured(options.rows, options.warm)
    rows.update("command", made)
    print(rows.table(made, COLUMNS))


if __name__ == "__main__":
    main()
