"""Measures the sample quality of the shapes model by the oracle of its world.

    python -m benchmarks.model.quality                      # the shipped weights
    python -m benchmarks.model.quality --rows vae curve     # only these
    python -m benchmarks.model.quality --weights DIR --dtype float32

The prompts describe combinations of attributes that training never saw (`held_out`) or
saw (`seen`). Both are sampled with the config's 50 steps and guidance, and with the
distilled transformer; held-out prompts also with fewer steps (`curve`). The VAE alone
is measured on rendered videos. Samples are drawn to results/quality.png. The index of a
prompt is the seed of its video. A row is written as soon as it is measured; other rows
are kept.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.lib import contact_sheet, rows
from benchmarks.lib.judged import Model, reconstruction_scores, sampled, sampling_row
from benchmarks.lib.wan import wan
from benchmarks.model.tables import with_detail_of_vae
from chorus_jax.checkpoints import Card, shipped
from chorus_jax.engine import Pipeline
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.request import Request
from chorus_jax.training.vae import reconstructed
from chorus_jax.training.world.attributes import (
    held_out_combinations,
    training_combinations,
)
from chorus_jax.training.world.examples import prompts
from configs import shapes, shapes_4step

DISTILLED = shapes_4step.TRANSFORMER
CURVE = (2, 4, 8, 12, 16, 25, 50)
SHEET = 6  # prompts in the picture
SPLITS = {"held_out": held_out_combinations, "seen": training_combinations}
COLUMNS = (
    *("row", "steps", "prompts", "accuracy", "accuracy_colour", "accuracy_shape"),
    *("accuracy_size", "accuracy_motion", "accuracy_background", "render_db"),
    *("detail", "detail_of_vae", "flicker", "smoothness", "psnr", "ssim", "seconds"),
)
Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class QualityBench:
    """The models to judge, and the numbers of prompts.

    Attributes:
        full: the model with the steps of its config.
        distilled: the few-step model; None if the weights have none.
        reconstruct: encodes and decodes videos by the VAE, from [b f h w 3] in 8 bits
            to floats in [-1, 1].
        prompts: number of prompts per split.
        curve_prompts: number of prompts per number of steps of the curve.
        batch: prompts per batch.
    """

    full: Model
    distilled: Model | None
    reconstruct: Callable[[np.ndarray], Any]
    prompts: int = 400
    curve_prompts: int = 100
    batch: int = 16

    def accuracy(self, split: str) -> Rows:
        """The row of a split's prompts, with the config's steps."""
        scene_prompts = prompts(SPLITS[split](), self.prompts, seed=0)
        yield sampling_row(split, self.full, scene_prompts, self.batch)

    def accuracy4(self, split: str) -> Rows:
        """The row of a split's prompts with the distilled transformer, if any."""
        if self.distilled is None:
            print(f"no {DISTILLED} in these weights: its rows are left out")
            return
        scene_prompts = prompts(SPLITS[split](), self.prompts, seed=0)
        name = f"{split} {self.distilled.steps} steps"
        yield sampling_row(name, self.distilled, scene_prompts, self.batch)

    def curve(self) -> Rows:
        """A row per number of steps, with the same held-out prompts and seeds."""
        scene_prompts = prompts(held_out_combinations(), self.curve_prompts, seed=0)
        for steps in CURVE:
            model = replace(self.full, request=replace(self.full.request, steps=steps))
            yield sampling_row(f"steps {steps}", model, scene_prompts, self.batch)

    def vae(self) -> Rows:
        """The row of the VAE's reconstructions of held-out rendered videos."""
        scene_prompts = prompts(held_out_combinations(), self.curve_prompts, seed=0)
        scores = reconstruction_scores(
            self.reconstruct, scene_prompts, self.full.world, self.batch
        )
        yield {
            "row": "vae",
            "prompts": len(scene_prompts),
            **scores,
            "dtype": self.full.dtype,
            "weights": {"vae": self.full.weights["vae"]},
        }

    def sheet(self) -> Rows:
        """Draws the picture; yields no rows."""
        scene_prompts = prompts(held_out_combinations(), SHEET, seed=0)
        shown = [
            (
                f"{model.steps} steps",
                [
                    frames
                    for batch in sampled(model, scene_prompts, SHEET)
                    for frames in batch.frames
                ],
            )
            for model in (self.full, self.distilled)
            if model is not None
        ]
        path = rows.RESULTS / "quality.png"
        contact_sheet.draw(path, [prompt.caption for prompt in scene_prompts], shown)
        print(path)
        yield from ()


GROUPS: dict[str, Callable[[QualityBench], Rows]] = {
    **{split: partial(QualityBench.accuracy, split=split) for split in SPLITS},
    **{f"{split}_4": partial(QualityBench.accuracy4, split=split) for split in SPLITS},
    "curve": QualityBench.curve,
    "vae": QualityBench.vae,
    "sheet": QualityBench.sheet,
}


def load(options: argparse.Namespace) -> QualityBench:
    """Loads the models of the weights that the options name."""
    folder = shipped.locate(options.weights)
    card = Card.read(folder)

    def load_pipeline(transformer: str) -> Pipeline:
        return Pipeline.load(folder, transformer=transformer, dtype=options.dtype)

    def model(pipeline: Pipeline, transformer: str, request: Request) -> Model:
        names = (transformer, "text_encoder", "vae")
        weights = {name: card.part(name).fingerprint[:12] for name in names}
        return Model(pipeline, request, weights, wan(pipeline).sizes.transformer.dtype)

    full, distilled = load_pipeline(TRANSFORMER), None
    if DISTILLED in card.parts:
        request = shapes_4step.get_config()
        distilled = model(load_pipeline(DISTILLED), DISTILLED, request)
    return QualityBench(
        model(full, TRANSFORMER, shapes.get_config()),
        distilled,
        partial(reconstructed, wan(full).vae),
        options.prompts,
        options.curve_prompts,
        options.batch,
    )


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument(
        "--weights",
        default=shapes.WEIGHTS,
        help="a folder, or the name of shipped weights (default: %(default)s)",
    )
    top.add_argument("--rows", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    top.add_argument("--prompts", type=int, default=400, help="of a row of accuracy")
    top.add_argument(
        "--curve-prompts", type=int, default=100, help="of curve's rows and of vae"
    )
    top.add_argument("--batch", type=int, default=16)
    top.add_argument(
        "--dtype", choices=["bfloat16", "float32"], help="as stored if unset"
    )
    return top


def main() -> None:
    """Measures, writes every row, prints the table."""
    options = parser().parse_args()
    rows.commit()  # rows need it: better to fail here than after an hour
    bench = load(options)
    for group in options.rows:
        for row in GROUPS[group](bench):
            rows.update("quality", [row])
    here = rows.device()
    measured = [row for row in rows.load("quality") if row["device"] == here]
    print(rows.table(with_detail_of_vae(measured), COLUMNS))
    print(here)


if __name__ == "__main__":
    main()
