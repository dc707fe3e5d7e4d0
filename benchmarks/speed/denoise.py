"""Times a Wan transformer's forward pass and a denoising run, against diffusers.

    python -m benchmarks.speed.denoise
    python -m benchmarks.speed.denoise --limit avx2

Both libraries have the same weights and inputs, on the CPU in float32, and run in
turns; the relative error is checked before anything is timed. There are 1280 video
tokens, 4 layers, and 512 text positions, of which a prompt fills some, as usual for
Wan. `ratio` is our median time divided by theirs; the rows `forward` and `run` repeat
the size with the worst ratio. Compile time is reported separately.

In the row `progress`, `seconds` is the time that a progress bar adds per step (a tiny
model with a bar and one step per call, minus the same run in one call), and `share` is
its share of a step of the smallest size.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline
from tqdm import tqdm

from benchmarks.lib import older_processor, rows, timing
from benchmarks.lib.wan import LoopRun, geometry, inputs
from benchmarks.speed.pair import LAYERS, NEGATIVE, PROMPT, WanPair
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.families.wan.model import prepare
from chorus_jax.schedulers import UniPC

# (heads, head width, feed-forward width); the last is Wan 1.3B's block.
SIZES = ((4, 64, 1024), (8, 64, 2048), (12, 128, 8960))
SHIFT, GUIDANCE = 3.0, 5.0
# Guidance and several steps amplify float32 rounding.
TOLERANCE = {"forward": 1e-5, "run": 1e-3}

Things = dict[str, Callable[[], np.ndarray]]


def channels_last(latents: np.ndarray) -> np.ndarray:
    """Latents of diffusers [b c f h w] in our layout [b f h w c]."""
    return latents.transpose(0, 2, 3, 4, 1)


def forward(pair: WanPair) -> Things:
    """Functions that run one forward pass in each library, without guidance."""
    latents = torch.from_numpy(pair.latents)
    text, moment = torch.from_numpy(pair.text[:1]), torch.tensor([500.0])
    arguments = (
        channels_last(pair.latents),
        np.array([500], np.float32),
        pair.text[:1],
    )
    operands = tuple(map(jnp.asarray, arguments))
    call = jax.jit(lambda model, *x: model(*x))

    def reference() -> np.ndarray:
        out = pair.reference(latents, moment, text, return_dict=False)[0]
        return channels_last(out.numpy())

    return {"ours": lambda: np.asarray(call(pair.ours, *operands)), "theirs": reference}


def run(pair: WanPair, steps: int) -> Things:
    """Functions that denoise with guidance in each library, from text embeddings."""
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT
    )
    pipeline: Any = WanPipeline(None, None, None, scheduler, pair.reference)
    pipeline.set_progress_bar_config(disable=True)
    f, h, w = pair.grid
    prompt, negative = (torch.from_numpy(x[None]) for x in pair.text)

    def reference() -> np.ndarray:
        latents = pipeline(
            prompt_embeds=prompt,
            negative_prompt_embeds=negative,
            latents=torch.from_numpy(pair.latents),
            height=8 * h,
            width=8 * w,
            num_frames=4 * (f - 1) + 1,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            output_type="latent",
        ).frames
        return channels_last(latents.numpy())

    return {
        "ours": lambda: whole_run(pair, UniPC.spaced(steps, SHIFT)),
        "theirs": reference,
    }


def prepared(pair: WanPair, solver: UniPC) -> LoopRun:
    """Our denoising run, ready to start, with 64 text tokens as in the pipeline."""
    f, h, w = pair.grid
    grid = f, h // 2, w // 2
    conditions = prepare(
        pair.ours,
        jnp.asarray(pair.text[:, :64]),
        jnp.array([PROMPT, NEGATIVE]),
        jnp.array([GUIDANCE]),
        solver=solver,
        grid=grid,
    )
    latents = jnp.asarray(channels_last(pair.latents))
    plan = StepPlan.plain(solver.schedule.steps)
    program = Program(plan, solver, geometry(pair.ours.config, grid))
    return LoopRun(program, inputs(pair.ours, conditions), latents)


def whole_run(pair: WanPair, solver: UniPC) -> np.ndarray:
    """Runs our denoising in one call; returns the latents."""
    return prepared(pair, solver)()


def with_bar(pair: WanPair, solver: UniPC) -> np.ndarray:
    """Runs our denoising with a progress bar, one step per call."""
    run = prepared(pair, solver)
    with tqdm(total=solver.schedule.steps, leave=False) as bar:
        return run(every=1, after=bar.update)


def compare(label: str, pair: WanPair, things: Things, rounds: int) -> dict[str, Any]:
    """Checks the relative error, then times both functions in turns; returns a row.

    Args:
        label: the name of the row; its first word selects the tolerance.
        pair: the networks that are compared.
        things: our function, then the baseline.
        rounds: number of timed rounds.
    """
    (ours, operands), (_, baseline) = things.items()
    began = time.perf_counter()
    first = operands()
    compile_seconds = time.perf_counter() - began
    want = baseline()
    error = float(np.abs(first - want).max() / np.abs(want).max())
    if not error <= TOLERANCE.get(label.split("_")[0], 0):
        raise SystemExit(f"{label}: relative error {error:.2g}, nothing was timed")
    times = list(timing.interleaved(things, rounds, label).values())
    return {
        "row": label,
        "width": pair.ours.config.width,
        "tokens": int(np.prod(pair.grid) // 4),
        "layers": LAYERS,
        "seconds": times[0].median,
        "spread": times[0].spread,
        "baseline_seconds": times[1].median,
        "baseline_spread": times[1].spread,
        "ratio": times[0].median / times[1].median,
        "error": error,
        "compile_seconds": max(0.0, compile_seconds - times[0].median),
    }


def progress(step: float) -> dict[str, Any]:
    """Measures the cost of a progress bar per step; `step` is the seconds of a step."""
    pair, solver = WanPair.of((1, 12, 16), (1, 4, 4)), UniPC.spaced(100, SHIFT)
    things = {
        "bar": lambda: with_bar(pair, solver),
        "call": lambda: whole_run(pair, solver),
    }
    if not np.array_equal(with_bar(pair, solver), whole_run(pair, solver)):
        raise SystemExit("step by step and in one call differ, nothing was timed")
    times = timing.interleaved(things, 20, "progress")
    added = (times["bar"].median - times["call"].median) / 100
    return {"row": "progress", "steps": 100, "seconds": added, "share": added / step}


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of the whole run")
    parser.add_argument(
        "--limit",
        choices=older_processor.SETTINGS,
        help="the newest instruction set that the libraries may use",
    )
    options = parser.parse_args()
    older_processor.limit(options.limit)
    torch.set_grad_enabled(False)
    measured: dict[str, list[dict]] = {"forward": [], "run": []}
    for size in SIZES:
        pair = WanPair.of(size)
        width = pair.ours.config.width
        for name, things in (
            ("forward", forward(pair)),
            ("run", run(pair, options.steps)),
        ):
            row = compare(f"{name}_{width}", pair, things, options.rounds)
            measured[name].append(row)
    for row in measured["run"]:
        row["steps"] = options.steps
    worst = [
        {**max(sizes, key=lambda row: row["ratio"]), "row": name}
        for name, sizes in measured.items()
    ]
    step = measured["run"][0]["seconds"] / options.steps
    every = [*measured["forward"], *measured["run"], *worst, progress(step)]
    columns = ("row", "width", "steps", "seconds", "spread", "baseline_seconds")
    print(rows.table(every, (*columns, "ratio", "error", "compile_seconds", "share")))
    name = f"denoise_{options.limit}" if options.limit else "denoise"
    print(f"{rows.save(name, every)}: {rows.device()}")


if __name__ == "__main__":
    main()
