"""Compares token budgets with fewer steps and TeaCache: wall-clock time and quality.

    python -m benchmarks.tokens.budgets --rows time       # 324 and 1296 tokens
    python -m benchmarks.tokens.budgets --rows quality    # 64 tokens, the oracle

The model is the shapes model with 50 steps. For `time`, there is one video of each of
--sizes in pixels: 144 (324 tokens) and 288 (1296 tokens), both more than in its
training. Arms run in turns, `seconds` is the time of denoising only, and `ratio`
divides it by the time of running all tokens in all steps.
For `quality`, videos have the model's own size (64 tokens), so that the oracle can
read them. `psnr` and `ssim` compare with the full run's video of the same prompt and
seed. `fewer` runs the preset's share of the steps, and `tea` is TeaCache with the
threshold at which it computes this share. No coefficients are published for these
weights, so TeaCache does not rescale the change of the embedding. `equivalents` is the
computed work in full steps. `hsa-50 spectrum` and similar arms forecast the velocities
of tokens that are not run, while the preset alone reuses their last velocities, and
`staggered` lets the tiles of a group take turns, so that all steps cost the same.
`NAME_error` is the standard error of a mean. Rows of `quality` are written as soon as
they are measured; `--missing` measures only the arms without a row.
"""

import argparse
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.lib import rows
from benchmarks.lib.judged import judge, with_errors
from benchmarks.lib.timing import interleaved
from benchmarks.reuse.models import Loaded, add_options, load_model
from benchmarks.tokens.arms import arms, chosen_of
from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Pipeline
from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.examples import prompts

STEPS, SIZES = 50, (144, 288)
KEY = ("row", "tokens")
COLUMNS = ("row", "tokens", "equivalents", "seconds", "ratio", "psnr", "ssim")
MORE = ("accuracy", "accuracy_motion", "detail")
Row = dict[str, Any]


def scores(ours: np.ndarray, full: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM of a video against the full run's."""
    return {"psnr": psnr(ours, full), "ssim": ssim(ours, full)}


def timed(
    loaded: Loaded, size: int, rounds: int, wanted: Collection[str]
) -> Iterator[Row]:
    """Times all arms in turns for one large video; yields a row per arm.

    Args:
        loaded: the model.
        size: height and width of the video, in pixels.
        rounds: how often each arm runs.
        wanted: the arms (see `chosen_of`).
    """
    prompt = "a red circle moves left on a gray background"
    request = loaded.request.changed(prompt=prompt, height=size, width=size, seed=1)
    ways = chosen_of(arms(loaded.pipeline, [request]), wanted)
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
            "tokens": tokens_of(loaded.pipeline, request),
            "equivalents": float(state.work[0]),
            "seconds": times[name].median,
            "spread": times[name].spread,
            "ratio": times[name].median / full,
            **fidelity,
            **loaded.facts,
        }


def judged(loaded: Loaded, count: int, done: Collection[str] = ()) -> Iterator[Row]:
    """Scores the arms on held-out prompts at the model's own size; yields their rows.

    Scores are the oracle's, and PSNR and SSIM to the full run.

    Args:
        loaded: the model.
        count: the number of prompts.
        done: names of arms to skip; the full run is always made.
    """
    drawn = prompts(held_out_combinations(), count, seed=0)
    requests = [
        loaded.request.changed(prompt=x.caption, seed=n) for n, x in enumerate(drawn)
    ]
    full: list[np.ndarray] = []
    for name, arm in arms(loaded.pipeline, requests).items():
        if name != "full" and name in done:
            continue
        state = arm()
        videos = arm.frames(state)
        full = full or videos
        judgements = [judge(*pair) for pair in zip(drawn, videos, strict=True)]
        fidelity = [] if name == "full" else list(map(scores, videos, full))
        yield {
            **row_of(loaded, name, requests, state),
            **with_errors(judgements),
            **with_errors(fidelity),
        }


def row_of(
    loaded: Loaded, name: str, requests: Sequence[Request], state: RunState
) -> Row:
    """The row of an arm's run of these requests, without its scores."""
    return {
        "row": name,
        "steps": STEPS,
        "tokens": tokens_of(loaded.pipeline, requests[0]),
        "prompts": len(requests),
        "equivalents": float(state.work.mean()),
        **loaded.facts,
    }


def judged_before(count: int, weights: dict[str, str]) -> set[str]:
    """The arms that have a row from this device, weights and commit.

    Only rows over `count` prompts count.
    """
    wanted = {
        "device": rows.device(),
        "weights": weights,
        "commit": rows.commit(),
        "prompts": count,
    }
    return {row["row"] for row in rows.load("tokens") if wanted.items() <= row.items()}


def tokens_of(pipeline: Pipeline, request: Request) -> int:
    """The number of tokens of a request's video."""
    return int(np.prod(pipeline.model.geometry(request).grid))


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    names = ("time", "quality")
    parser.add_argument("--rows", nargs="+", choices=names, default=names)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--arms", nargs="+", default=(), help="of `time`")
    parser.add_argument("--missing", action="store_true", help="go on with `quality`")
    options = parser.parse_args()
    rows.commit()  # rows need it: better to fail here than after the rounds
    loaded = load_model(options, None, STEPS)
    rows.drop_other_weights("tokens", loaded.facts["weights"])
    for size in options.sizes if "time" in options.rows else ():
        measured = list(timed(loaded, size, options.rounds, options.arms))
        rows.update("tokens", measured, KEY)
        print(rows.table(measured, COLUMNS))
    if "quality" in options.rows:
        weights = loaded.facts["weights"]
        done = judged_before(options.prompts, weights) if options.missing else ()
        measured = []
        for row in judged(loaded, options.prompts, done):
            rows.update("tokens", [row], KEY)
            measured.append(row)
        print(rows.table(measured, (*COLUMNS, *MORE)))


if __name__ == "__main__":
    main()
