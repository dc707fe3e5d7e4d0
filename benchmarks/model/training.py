"""Measures how quality grows with training, from a run's newest averaged parameters.

    python -m benchmarks.model.training --run DIR                  # DIR of the training
    python -m benchmarks.model.training --run DIR --before 188000  # clips before it

Call it whenever `python -m chorus_jax.training flow --out DIR` has saved a state: each
call adds a row of held-out prompts at that number of clips, with guidance and the
config's steps. `excess` compares errors of the velocity at the noise level 0.9: the
mean square of the error averaged over squares of 4 x 4 latents, times 16, divided by
the mean square of the error itself. It is 1 if the error is only texture, which cannot
be predicted.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.lib import rows
from benchmarks.lib.judged import Model, sampling_row
from chorus_jax.devices.compilation import enable_cache
from chorus_jax.engine import Pipeline
from chorus_jax.families.wan.model import WanModel
from chorus_jax.training import saved
from chorus_jax.training.evaluate import CLIPS
from chorus_jax.training.flow import FlowJob, at_scales
from chorus_jax.training.params import Params
from chorus_jax.training.recipes import RECIPES
from chorus_jax.training.runs import Runs
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.examples import prompts
from configs import shapes

LEVEL, SCALE = 0.9, 4
COLUMNS = (
    *("clips", "prompts", "accuracy", "accuracy_colour", "accuracy_shape"),
    *("accuracy_size", "accuracy_motion", "accuracy_background", "render_db"),
    *("detail", "excess"),
)


def excess(job: FlowJob, params: Params) -> float:
    """The `excess` (see the module) over `CLIPS` training clips and their captions."""
    numbers = np.arange(CLIPS) % len(job.batch.attributes)
    rng = np.random.default_rng(0)
    captions = [job.batch.caption(number, rng) for number in numbers.tolist()]
    batch = job.batch.captioned(numbers, captions, rng)

    @jax.jit
    def ratio(params: Params) -> jax.Array:
        levels = jnp.full(CLIPS, LEVEL)
        error = job.forward(params, batch, levels, jax.random.key(0)).error
        return at_scales(error, (SCALE,)) / at_scales(error, (1,))

    return float(ratio(params))


def measured(runs: Runs, before: int, count: int, batch: int) -> dict[str, Any]:
    """Measures the newest state of a run; returns its row.

    Args:
        runs: the training.
        before: the number of clips seen before this run.
        count: the number of held-out prompts.
        batch: prompts per batch.
    """
    parts, job = runs.flow_parts("float32"), runs.flow_job()
    pipeline = Pipeline(WanModel(parts, runs.tokenizer()))
    model = Model(pipeline, shapes.get_config(), {}, "float32", runs.recipe.world.sizes)
    step = int(saved.steps(runs.folder / "flow")[-1].name.removeprefix("step-"))
    clips = before + step * runs.recipe.train_flow.plan.batch
    scene_prompts = prompts(held_out_combinations(), count, seed=0)
    row = sampling_row(f"clips {clips}", model, scene_prompts, batch)
    return {**row, "clips": clips, "excess": excess(job, runs.flow_averaged())}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--run", type=Path, required=True, help="folder of all stages")
    top.add_argument("--recipe", choices=list(RECIPES), default="shapes")
    top.add_argument("--before", type=int, default=0, help="clips seen before this run")
    top.add_argument("--prompts", type=int, default=96)
    top.add_argument("--batch", type=int, default=16)
    return top


def main() -> None:
    """Measures, adds the row, prints the table."""
    options = parser().parse_args()
    rows.commit()  # rows need it: better to fail here than after minutes
    enable_cache()
    runs = Runs(RECIPES[options.recipe](), options.run)
    row = measured(runs, options.before, options.prompts, options.batch)
    rows.update("training", [row])
    here = rows.device()
    measurements = [row for row in rows.load("training") if row["device"] == here]
    print(rows.table(measurements, COLUMNS))
    print(here)


if __name__ == "__main__":
    main()
