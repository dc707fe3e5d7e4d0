"""Compares token budgets with fewer steps and TeaCache: wall-clock time and quality.

    python -m benchmarks.tokens.budgets --rows time       # 1296 tokens, one video
    python -m benchmarks.tokens.budgets --rows quality    # 64 tokens, the oracle

The model is the shapes model with 50 steps. For `time`, videos have 288 x 288 pixels
(1296 tokens), more than in its training; arms run in turns, `seconds` is the time of
denoising only, and `ratio` divides it by the time of running all tokens in all steps.
For `quality`, videos have the model's own size (64 tokens), so that the oracle can
read them. `psnr` and `ssim` compare with the full run's video of the same prompt and
seed. `fewer` runs the preset's share of the steps, and `tea` is TeaCache with the
threshold at which it computes this share. No coefficients are published for these
weights, so TeaCache does not rescale the change of the embedding. `equivalents` is the
computed work in full steps. `hsa-50 spectrum` and similar arms forecast the velocities
of tokens that are not run, while the preset alone reuses their last velocities.
`NAME_error` is the standard error of a mean. Rows of `quality` are written as soon as
they are measured; `--missing` measures only the arms without a row.
"""

import argparse
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from benchmarks.caches.foreseen import Foreseen, embedding_changes
from benchmarks.lib import rows
from benchmarks.lib.judged import judge, with_errors
from benchmarks.lib.timing import interleaved
from chorus_jax.checkpoints import shipped
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Pipeline
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.media.video import to_uint8
from chorus_jax.request import Request
from chorus_jax.token_budgets.presets import PRESETS
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.examples import prompts

STEPS, LARGE = 50, 288
FORECASTS = {
    "spectrum": Spectrum(window=1.0, growth=0.0),
    "taylor": TaylorSeer(interval=1),
    "hicache": HiCache(interval=1),
}
KEY = ("row", "tokens")
COLUMNS = ("row", "tokens", "equivalents", "seconds", "ratio", "psnr", "ssim")
MORE = ("accuracy", "accuracy_motion", "detail")
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class TokenArm:
    """One way to run requests: with token budgets, fewer steps, or a step cache.

    Attributes:
        pipeline: the model's pipeline.
        requests: requests of one size and schedule.
        cache: the step cache.
    """

    pipeline: Pipeline
    requests: tuple[Request, ...]
    cache: StepCache = EveryStep()

    def __post_init__(self) -> None:
        conditions, _ = self.pipeline.condition(self.requests)
        object.__setattr__(self, "conditions", conditions)

    def __call__(self) -> RunState:
        """Runs the requests; returns the loop's last state."""
        first, conditions = self.requests[0], getattr(self, "conditions")
        plan = StepPlan.plain(
            first.step_count, cache=self.cache, budgets=first.token_budgets
        )
        program = self.pipeline.program(first, plan)
        inputs = self.pipeline.inputs(conditions)
        noise = self.pipeline.noise(self.requests, program.geometry, conditions)
        state = loop.start(inputs, noise, program=program)
        *_, (_, state) = self.pipeline.advanced(program, inputs, state, every=None)
        return jax.block_until_ready(state)

    def frames(self, state: RunState) -> list[np.ndarray]:
        """Decodes the latents of a run's last state into 8-bit videos."""
        groups = self.pipeline.model.decode(state.latents, self.requests)
        made = np.concatenate([np.asarray(group) for group in groups], axis=1)
        return [to_uint8(video) for video in made]


def arms(pipeline: Pipeline, requests: Sequence[Request]) -> dict[str, TokenArm]:
    """The arms by name: the full run, and each preset with baselines of equal work."""
    every = tuple(requests)
    made = {"full": TokenArm(pipeline, every)}
    foreseen = Foreseen(embedding_changes(pipeline, every[0]))
    for name, preset in PRESETS.items():
        given = tuple(x.changed(tokens=name) for x in every)
        share, count = name.removeprefix("hsa-"), round(preset.work * STEPS)
        made[name] = TokenArm(pipeline, given)
        fewer = tuple(x.changed(steps=count) for x in every)
        made[f"fewer-{share}"] = TokenArm(pipeline, fewer)
        made[f"tea-{share}"] = TokenArm(pipeline, every, foreseen.tea(count))
        # These caches skip no step: they forecast the tokens that are not run.
        for method, cache in FORECASTS.items():
            made[f"{name} {method}"] = TokenArm(pipeline, given, cache)
    return made


def scores(ours: np.ndarray, full: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM of a video against the full run's."""
    return {"psnr": psnr(ours, full), "ssim": ssim(ours, full)}


def timed(pipeline: Pipeline, rounds: int) -> Iterator[Row]:
    """Times all arms in turns for one large video; yields a row per arm."""
    request = pipeline.request(
        "a red circle moves left on a gray background",
        height=LARGE,
        width=LARGE,
        seed=1,
    )
    ways = arms(pipeline, [request])
    states: dict[str, RunState] = {}

    def keeping(name: str) -> Callable[[], object]:
        def run() -> None:
            states[name] = ways[name]()

        return run

    times = interleaved({name: keeping(name) for name in ways}, rounds, "tokens")
    videos = {name: ways[name].frames(state)[0] for name, state in states.items()}
    full = times["full"].median
    for name, state in states.items():
        fidelity = {} if name == "full" else scores(videos[name], videos["full"])
        yield {
            "row": name,
            "steps": STEPS,
            "tokens": tokens_of(pipeline, request),
            "equivalents": float(state.work[0]),
            "seconds": times[name].median,
            "spread": times[name].spread,
            "ratio": times[name].median / full,
            **fidelity,
        }


def judged(pipeline: Pipeline, count: int, done: Collection[str] = ()) -> Iterator[Row]:
    """Scores the arms on held-out prompts at the model's own size; yields their rows.

    Scores are the oracle's, and PSNR and SSIM to the full run.

    Args:
        pipeline: the model's pipeline.
        count: the number of prompts.
        done: names of arms to skip; the full run is always made.
    """
    drawn = prompts(held_out_combinations(), count, seed=0)
    requests = [pipeline.request(x.caption, seed=n) for n, x in enumerate(drawn)]
    full: list[np.ndarray] = []
    for name, arm in arms(pipeline, requests).items():
        if name != "full" and name in done:
            continue
        state = arm()
        videos = arm.frames(state)
        full = full or videos
        judgements = [judge(*pair) for pair in zip(drawn, videos, strict=True)]
        fidelity = [] if name == "full" else list(map(scores, videos, full))
        yield {
            "row": name,
            "steps": STEPS,
            "tokens": tokens_of(pipeline, requests[0]),
            "prompts": count,
            "equivalents": float(state.work.mean()),
            **with_errors(judgements),
            **with_errors(fidelity),
        }


def judged_before(count: int) -> set[str]:
    """The arms that have a row from this device and commit over `count` prompts."""
    wanted = {"device": rows.device(), "commit": rows.commit(), "prompts": count}
    return {row["row"] for row in rows.load("tokens") if wanted.items() <= row.items()}


def tokens_of(pipeline: Pipeline, request: Request) -> int:
    """The number of tokens of a request's video."""
    return int(np.prod(pipeline.model.geometry(request).grid))


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("time", "quality")
    parser.add_argument("--rows", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--missing", action="store_true", help="go on with `quality`")
    options = parser.parse_args()
    rows.commit()  # rows need it: better to fail here than after the rounds
    pipeline = Pipeline.load(shipped.folder("shapes"))
    if "time" in options.rows:
        measured = list(timed(pipeline, options.rounds))
        rows.update("tokens", measured, KEY)
        print(rows.table(measured, COLUMNS))
    if "quality" in options.rows:
        done = judged_before(options.prompts) if options.missing else ()
        measured = []
        for row in judged(pipeline, options.prompts, done):
            rows.update("tokens", [row], KEY)
            measured.append(row)
        print(rows.table(measured, (*COLUMNS, *MORE)))


if __name__ == "__main__":
    main()
