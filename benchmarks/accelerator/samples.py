"""Samples of newly trained models, scored by the oracle of the shapes world."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator.recipes import DeviceScale
from benchmarks.lib import contact_sheet
from benchmarks.lib.judged import Model, sampled, sampling_row
from chorus_jax.checkpoints import Card
from chorus_jax.engine import Pipeline
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.request import Request
from chorus_jax.training.runs import Runs
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.examples import prompts

SHEET = 6  # prompts in the picture


def quality(runs: Runs, scale: DeviceScale, folder: Path) -> Iterator[dict[str, Any]]:
    """Samples each transformer of the run; yields a row of scores for each.

    Also draws some samples to samples.png.

    Args:
        runs: the training, whose folder `model` has the transformers.
        scale: the numbers of prompts and steps.
        folder: the folder of the picture.
    """
    scene_prompts = prompts(held_out_combinations(), scale.prompts, seed=0)
    device, shown = jax.devices()[0].device_kind, []
    for name, request in requests(runs, scale).items():
        pipeline = Pipeline.load(runs.folder / "model", transformer=name)
        dtype = pipeline.model.numerics.split()[0]
        model = Model(pipeline, request, {}, dtype, runs.recipe.world.sizes)
        row = sampling_row(name, model, scene_prompts, scale.batch)
        yield {**row, "device": device}
        first = scene_prompts[: min(SHEET, scale.batch)]
        frames = [x for batch in sampled(model, first, SHEET) for x in batch.frames]
        shown.append((name, frames))
        captions = [prompt.caption for prompt in first]
        contact_sheet.draw(folder / "samples.png", captions, shown)


def requests(runs: Runs, scale: DeviceScale) -> dict[str, Request]:
    """A request with an empty prompt for each transformer in `model`, by its name."""
    world, training = runs.recipe.world, runs.recipe.distill
    plain = Request(
        prompt="",
        frames=world.frames,
        height=world.height,
        width=world.width,
        steps=scale.steps,
        solver="euler",
        shift=training.shift,
        guidance_scale=training.guidance_scale,
    )
    few = replace(plain, steps=training.sigmas, guidance_scale=1.0)
    parts = Card.read(runs.folder / "model").parts
    return {
        name: plain if name == TRANSFORMER else few
        for name in sorted(parts)
        if name.startswith(TRANSFORMER)
    }
