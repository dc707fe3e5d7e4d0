"""Trains the small model on this machine's device, in a given time.

    python -m benchmarks.accelerator.train --out DIR [--clips N] [--rehearse]
    python -m benchmarks.accelerator.train --out DIR --weights FOLDER   # distil only

Clips are drawn, encoded and batched on the device; the models are trained in bfloat16,
or in float32 on a CPU. DIR/model.tar.* holds the model as `Pipeline.load` reads it, its
losses and probes; it is rewritten after every stage of training. DIR/quality.jsonl has
the oracle's scores of samples of held-out prompts. Intermediate files are in the folder
given as --work, by default a temporary one. If a stage fails, its error is printed and
the next stage begins.
"""

import argparse
import json
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jax

from benchmarks.accelerator.packing import pack
from benchmarks.accelerator.recipes import DeviceScale, real, rehearsed
from benchmarks.accelerator.samples import quality
from benchmarks.accelerator.time_left import TimeLeft
from chorus_jax.checkpoints import shipped
from chorus_jax.training.deadline import Deadline
from chorus_jax.training.device.runs import DeviceRuns
from chorus_jax.training.unpack import unpack_vae

FLOW: Final = 0.5  # flow training's share of the time left after encoding the clips
TEACH: Final = 0.3  # the trajectories' share of the time left after flow training
DISTILL: Final = 0.6  # distillation's share of the time left after the trajectories
MINUTES: Final = 2.5  # minutes between saved states
LEAST: Final = 5.0  # the least seconds of a training, even if no time is left


@dataclass(frozen=True)
class Session:
    """A training that ends within the time of this process.

    Attributes:
        scale: the recipe and how its clips are drawn.
        folder: the folder of the trained model and its scores.
        work: the folder of intermediate files.
        time_left: the remaining time of the process.
    """

    scale: DeviceScale
    folder: Path
    work: Path
    time_left: TimeLeft

    @property
    def runs(self) -> DeviceRuns:
        """The stages of the training, with clips on the device."""
        scale = self.scale
        return DeviceRuns(
            scale.recipe,
            self.work,
            save_minutes=MINUTES,
            runs_at_once=scale.at_once,
            wordings=scale.wordings,
            at_once=scale.at_once,
        )

    def train(self) -> None:
        """Prepares VAE and clips, trains transformer and text encoder, packs them."""
        runs = self.runs
        if self.scale.shipped_vae:
            unpack_vae(shipped.folder(), runs.folder / "vae_model")
        else:
            runs.vae()
        bank, _ = runs.filled
        jax.block_until_ready(bank)
        print(
            f"{len(bank.attributes)} clips; {self.time_left.now():.0f} s left",
            flush=True,
        )
        runs.flow(Deadline(max(LEAST, FLOW * self.time_left.now())))
        self.assemble()

    def distill(self) -> None:
        """Distils the few-step transformer, and packs all models again."""
        runs = self.runs
        runs.teach(Deadline(max(LEAST, TEACH * self.time_left.now())))
        runs.distill(Deadline(max(LEAST, DISTILL * self.time_left.now())))
        self.assemble()

    def assemble(self) -> None:
        """Writes the model with the newest parameters, and packs it."""
        self.runs.assemble()
        names = ("model", *(f"flow/{name}.jsonl" for name in ("loss", "probe")))
        pack({name: self.work / name for name in names}, self.folder / "model.tar")

    def judge(self) -> None:
        """Samples held-out prompts, and writes the oracle's scores."""
        for row in quality(self.runs, self.scale, self.folder):
            with (self.folder / "quality.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def attempted(stage: Callable[[], Any], time_left: TimeLeft) -> bool:
    """Runs a stage; returns whether it succeeded. Errors are printed."""
    print(f"{stage.__name__}: {time_left.now():.0f} s left", flush=True)
    try:
        stage()
    except Exception:
        traceback.print_exc()
        return False
    return True


def main() -> int:
    """Trains, distils and samples; returns 0 if all stages succeeded."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--out", type=Path, required=True)
    top.add_argument("--work", type=Path, help="the recipe's folder")
    top.add_argument("--weights", type=Path, help="a finished model, to be distilled")
    top.add_argument("--clips", type=int, help="a trial with this number of clips")
    top.add_argument("--rehearse", action="store_true", help="tiny sizes")
    options = top.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    scale = rehearsed() if options.rehearse else real()
    if options.clips:
        scale = scale.trial(options.clips)
    time_left = TimeLeft(15.0) if options.rehearse else TimeLeft.of_part(360.0)
    work = options.work or Path(tempfile.mkdtemp(prefix="chorus"))
    session = Session(scale, options.out, work, time_left)
    stages = [session.train, session.distill, session.judge]
    if options.weights:
        session.runs.unpack(options.weights)
        stages.remove(session.train)
    return 0 if all([attempted(stage, time_left) for stage in stages]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
