"""Serves requests of the shipped model: by the command line, then through an engine.

    python -m benchmarks.accelerator.serve --out DIR

`chorus generate` makes DIR/video.png. Then held-out prompts, whose sources differ from
them in one or two attributes, are run in full and as hits, in turns, as by
`benchmarks.reuse.chorus`. The rows, means over all hits, are written to
DIR/accelerator.jsonl: `serve full`, `serve chorus` and, if the policy has a step cache,
`serve chorus_cache`.
"""

import argparse
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lib import rows
from benchmarks.reuse.arms import CACHED, FULL, WHOLE
from benchmarks.reuse.cases import changed_only
from benchmarks.reuse.comparison import ArmComparison
from benchmarks.reuse.models import add_options, base_policy, load_model

PROMPT = "a red circle moves left on a gray background"
ARMS = (FULL, WHOLE, CACHED)


def generate(steps: int, out: Path) -> None:
    """Makes a video by `chorus generate`, in a process of its own.

    Raises a CalledProcessError if it fails.
    """
    command = ("generate", PROMPT, "--steps", str(steps), "--out", str(out))
    subprocess.run([sys.executable, "-m", "chorus_jax", *command], check=True)


def measured(
    options: argparse.Namespace, steps: int, targets: int
) -> Iterator[dict[str, Any]]:
    """Runs the arms; yields the rows over the hits."""
    loaded = load_model(options, None, steps)
    comparison = ArmComparison(loaded, *base_policy(None, loaded))
    cases = changed_only().cases(targets, targets, seed=0)
    comparison.check_plain(cases)
    run = set()
    for row in comparison.arms(comparison.filled(cases), ARMS):
        arm = row.get("same_as", row["row"])
        if row["over"] == "hits" and arm not in run:
            yield {**row, "row": f"serve {row['row']}"}
            run.add(arm)
    if len(run) < 2:
        raise ValueError(f"none of {targets} requests is a hit: nothing was compared")


def main() -> int:
    """Serves, writes and prints the rows; returns 0 if the command line worked too."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--out", type=Path, required=True)
    top.add_argument("--rehearse", action="store_true", help="few steps and requests")
    options = top.parse_args()
    steps, targets = (4, 12) if options.rehearse else (50, 24)
    options.out.mkdir(parents=True, exist_ok=True)
    failed = False
    try:  # before this process takes the device's memory
        generate(steps, options.out / "video.png")
    except subprocess.CalledProcessError:
        traceback.print_exc()
        failed = True
    for row in measured(options, steps, targets):
        rows.append(options.out / "accelerator.jsonl", "accelerator", row)
        print(row, flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
