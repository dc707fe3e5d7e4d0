"""Compares fidelity to full runs with the oracle's scores, over a ladder of reuse.

    python -m benchmarks.calibrate.fidelity
    python -m benchmarks.calibrate.fidelity --steps 4 --pairs 64

`chorus calibrate` has no oracle: it allows a policy if the hits of each tier have, on
average, at least the PSNR (--least-psnr) and SSIM (--least-ssim) to full runs. Here,
pairs of prompts that differ in one attribute are run at each rung of a ladder of reuse,
and two things are measured: the fidelity to the full run from the same noise, and how
often the differing attribute is right in the full run and wrong with reuse. The
defaults of the command come from the rungs that lose little.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from benchmarks.calibrate.look import MEMORY, SEED, ladder
from benchmarks.lib import rows
from benchmarks.lib.judged import judge
from benchmarks.reuse.bench import OWN_SEEDS
from benchmarks.reuse.cases import changed, training
from benchmarks.reuse.models import Loaded, add_options, load_model
from chorus_jax.calibration.fidelity import fidelity
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.training.world.examples import ScenePrompt

KEY = ("row", "steps")
COLUMNS = (
    *("row", "steps", "pairs", "equivalents", "psnr", "ssim"),
    *("accuracy_changed", "accuracy_changed_loss", "error"),
)


@dataclass(frozen=True)
class RungOutcome:
    """The outcome of one pair of prompts at one rung of the ladder.

    Attributes:
        equivalents: the computed work, in full steps.
        psnr: the PSNR to the full run's video, in dB, at most 60.
        ssim: the SSIM to the full run's video.
        right: 1 if the attribute that differs is right, else 0.
        full: 1 if that attribute is right in the full run's video, else 0.
    """

    equivalents: float
    psnr: float
    ssim: float
    right: float
    full: float


def measure(loaded: Loaded, count: int) -> Iterator[dict[str, object]]:
    """Runs `count` pairs of prompts; yields a row per rung of the ladder."""
    cases = replace(training(), changes=(1,)).cases(count, count, SEED)
    policies, cache = ladder(loaded.steps), Cache.in_memory(MEMORY)
    engines = [Engine(loaded.pipeline, cache, policy) for policy in policies.values()]
    pairs = tqdm(zip(cases.targets, cases.sources, strict=True), total=count)
    outcomes = [
        pair(engines, loaded, target, source, seed)
        for seed, (target, source) in enumerate(pairs)
    ]
    for name, column in zip(policies, zip(*outcomes, strict=True), strict=True):
        yield {"row": name, "steps": loaded.steps, **row(column), **loaded.facts}


def pair(
    engines: Sequence[Engine],
    loaded: Loaded,
    target: ScenePrompt,
    source: ScenePrompt,
    seed: int,
) -> list[RungOutcome]:
    """Runs a pair; returns its outcome with each engine, one per rung."""
    [attribute] = changed(target, source)
    request = replace(loaded.request, prompt=target.caption, seed=seed)
    right = lambda frames: judge(target, frames)[f"accuracy_{attribute}"]
    namespace = f"pair {seed}"
    made = engines[0].generate(request, Reuse(read=False, write=False))
    earlier = replace(request, prompt=source.caption, seed=OWN_SEEDS + seed)
    engines[0].generate(earlier, Reuse(read=False, namespace=namespace))
    full, outcomes = made.video.frames, []
    for engine in engines:
        result = engine.generate(request, Reuse(write=False, namespace=namespace))
        frames, ledger = result.video.frames, result.ledger
        scores = fidelity(frames, full)
        outcomes.append(
            RungOutcome(
                ledger.equivalents, **scores, right=right(frames), full=right(full)
            )
        )
    return outcomes


def row(outcomes: Sequence[RungOutcome]) -> dict[str, float]:
    """The means over a rung's pairs; `error` is the standard error of the loss."""
    figures = {
        name: float(np.mean([getattr(outcome, name) for outcome in outcomes]))
        for name in ("equivalents", "psnr", "ssim")
    }
    lost = np.array([outcome.full - outcome.right for outcome in outcomes])
    return {
        "pairs": len(outcomes),
        **figures,
        "accuracy_changed": float(np.mean([outcome.right for outcome in outcomes])),
        "accuracy_changed_loss": float(lost.mean()),
        "error": float(lost.std(ddof=1) / len(lost) ** 0.5),
    }


def main() -> None:
    """Measures one model and writes its rows."""
    top = argparse.ArgumentParser(prog="python -m benchmarks.calibrate.fidelity")
    top.add_argument("--steps", type=int, default=50, help="(default: 50)")
    top.add_argument("--pairs", type=int, default=24, help="(default: 24)")
    add_options(top)
    options = top.parse_args()
    measured = list(measure(load_model(options, None, options.steps), options.pairs))
    rows.update("calibrate_fidelity", measured, KEY)
    print(rows.table(measured, COLUMNS))


if __name__ == "__main__":
    main()
