"""Chorus with the kernels forced to each implementation that runs on this machine.

    python -m benchmarks.reuse.variants

A few targets are made in 4 steps from sources that differ from them, by a policy with a
region step and amplified cross-attention: once with the platform's own choice (on a CPU
the plain path), and once with each implementation. Exits with an error if ledgers
differ or videos are too different. `psnr` is the lowest PSNR between the two videos of
a target (left out if all are equal); accuracies are the oracle's. On a CPU, the kernels
for TPUs and GPUs are interpreted, so nothing is timed.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.lib import rows
from benchmarks.lib.judged import judge
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.cases import held_out
from benchmarks.reuse.models import add_options, load_model
from benchmarks.reuse.running import Arm, ArmRun, Reusing
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.media.metrics import psnr
from kernels_pallas import dispatch

TIER = Tier(0.0, 1, 3, active=0.5, key_gain=1.5, output_gain=1.1)
POLICY = Policy(4, (TIER,), Regions(halo=0.25, limit=math.inf))
# The least PSNR in dB of videos that differ by rounding only.
LEAST = 30.0
COLUMNS = ("row", "targets", "psnr", "accuracy", "accuracy_own", "refused")


def variants() -> list[str]:
    """The names of the implementations that run on this machine."""
    platform = dispatch.device()[0]
    if platform == "cpu":
        return ["reference", "tpu_interpreted", "gpu_interpreted"]
    return ["reference", dispatch.PLATFORMS[platform]]


def compared(
    name: str, arm: Arm, targets: Sequence[Target], own: Sequence[ArmRun]
) -> dict[str, float | str]:
    """Compares an implementation's videos with those of the platform's own choice.

    Args:
        name: the implementation.
        arm: makes the videos.
        targets: the targets.
        own: the runs with the platform's own choice, one per target.

    Returns:
        The fields of a row; only the reason `refused` if the arrays are not supported.

    Raises:
        SystemExit: if ledgers differ, or a PSNR is below `LEAST`.
    """
    ratios, right = [], []
    try:
        pairs = zip(targets, own, strict=True)
        for target, own_run in tqdm(pairs, total=len(own), desc=name, unit="video"):
            with dispatch.forced(name):
                pair = own_run, arm(target)
            check_same(*(run.ledger for run in pair))
            ratios.append(psnr(*(run.frames for run in pair)))
            if not ratios[-1] >= LEAST:
                raise SystemExit(
                    f"{name}: {ratios[-1]:.1f} dB to the platform's own video of "
                    f"{target.prompt!r}, expected {LEAST:g} or more: a kernel is wrong"
                )
            right.append([judge(target.prompt, x.frames)["accuracy"] for x in pair])
    except NotImplementedError as refusal:
        return {"refused": str(refusal)}
    accuracy = np.mean(right, axis=0).tolist()
    least = {"psnr": min(ratios)} if math.isfinite(min(ratios)) else {}
    return {**least, "accuracy_own": accuracy[0], "accuracy": accuracy[1]}


def check_same(own: Ledger, forced: Ledger) -> None:
    """Raises SystemExit unless both are the same hit, with a region."""
    ledgers = [replace(x, seconds={}) for x in (own, forced)]
    if ledgers[0] != ledgers[1] or own.kind != "semantic" or own.active == 1:
        raise SystemExit(f"expected two equal hits with a region, got {ledgers}")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields a row per implementation."""
    loaded = load_model(options, None, POLICY.steps)
    cases = replace(held_out(), changes=(1,)).cases(
        options.targets, options.targets, seed=0
    )
    bench = Bench.filled(loaded.pipeline, loaded.request, cases, POLICY.look)
    targets = [target for target in bench.targets if target.tier(POLICY)]
    arm = Reusing(bench, POLICY)
    own = [arm(target) for target in targets]
    for name in variants():
        what = {"row": name, "targets": len(targets), **loaded.facts}
        yield what | compared(name, arm, targets, own)


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--targets", type=int, default=10)
    options = top.parse_args()
    rows.commit()  # rows need it: better to fail here than after minutes
    measured = list(measure(options))
    rows.save("chorus_variants", measured)
    print(rows.table(measured, COLUMNS))


if __name__ == "__main__":
    main()
