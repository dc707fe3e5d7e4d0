"""The small model trained from nothing on the device at hand, in the time there is.

    python -m benchmarks.accelerator.train --out DIR [--rehearse]

Clips are drawn, encoded and chosen on the device, in bfloat16 off a CPU. DIR/run is the
recipe's folder, with states to go on from; DIR/run/model what `Pipeline.load` reads;
DIR/quality.jsonl what the oracle reads in samples of held-out prompts. A stage that
fails is written down, and those that can do without it follow.
"""

import argparse
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jax

from benchmarks.accelerator.recipes import Scale, real, rehearsed
from benchmarks.accelerator.samples import quality
from benchmarks.accelerator.time_left import TimeLeft
from chorus_jax.checkpoints import shipped
from chorus_jax.training.deadline import Deadline
from chorus_jax.training.device.runs import DeviceRuns
from chorus_jax.training.unpack import unpack_vae

FLOW: Final = 0.72  # share of the time after the bank is filled
DISTILL: Final = 0.4  # of what is left once trajectories are there
MINUTES: Final = 1.0  # between states
LEAST: Final = 5.0  # seconds of a training, also where time is up


@dataclass(frozen=True)
class Session:
    """A training within the time of this process."""

    scale: Scale
    folder: Path
    left: TimeLeft

    @property
    def runs(self) -> DeviceRuns:
        """The stages, with clips on the device."""
        scale = self.scale
        return DeviceRuns(
            scale.recipe,
            self.folder / "run",
            save_minutes=MINUTES,
            wordings=scale.wordings,
            at_once=scale.at_once,
        )

    def train(self) -> None:
        """VAE, clips, transformer and text encoder; then all in one folder."""
        runs = self.runs
        if self.scale.shipped_vae:
            unpack_vae(shipped.folder(), runs.folder / "vae_model")
        else:
            runs.vae()
        bank, _ = runs.filled
        jax.block_until_ready(bank)
        print(f"{len(bank.asked)} clips; {self.left.now():.0f} s left", flush=True)
        runs.flow(Deadline(max(LEAST, FLOW * self.left.now())))
        runs.assemble()

    def distill(self) -> None:
        """The transformer of few steps, beside the other in the folder."""
        runs = self.runs
        runs.teach()
        runs.distill(Deadline(max(LEAST, DISTILL * self.left.now())))
        runs.assemble()

    def judge(self) -> None:
        """Samples held-out prompts and writes what the oracle reads."""
        for row in quality(self.runs, self.scale, self.folder):
            with (self.folder / "quality.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def attempted(stage: Callable[[], Any], left: TimeLeft) -> bool:
    """Runs a stage; whether it ended well. What went wrong is printed."""
    print(f"{stage.__name__}: {left.now():.0f} s left", flush=True)
    try:
        stage()
    except Exception:
        traceback.print_exc()
        return False
    return True


def main() -> int:
    """Trains, distils, samples; 0 if all stages ended well."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--out", type=Path, required=True)
    top.add_argument("--rehearse", action="store_true", help="tiny sizes")
    options = top.parse_args()
    scale = rehearsed() if options.rehearse else real()
    left = TimeLeft(15.0) if options.rehearse else TimeLeft.of_part(360.0)
    session = Session(scale, options.out, left)
    stages = (session.train, session.distill, session.judge)
    return 0 if all([attempted(stage, left) for stage in stages]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
