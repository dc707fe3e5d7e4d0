"""`python -m chorus_jax.training STAGE --recipe NAME --out DIR`."""

import argparse
from dataclasses import replace
from pathlib import Path

import jax

from chorus_jax.checkpoints import shipped
from chorus_jax.devices.compilation import enable_cache
from chorus_jax.training.recipe import TrainingRecipe
from chorus_jax.training.recipes import RECIPES
from chorus_jax.training.runs import Runs

ALL = ("vae", "encode", "flow", "teach", "distill", "assemble")
STAGES = {
    "all": "the stages from vae to assemble, one after the other",
    "unpack": "take a finished model apart, to train it further (--weights)",
    "vae": "train the VAE",
    "encode": "measure the newest VAE's latents and encode clips with it",
    "flow": "train transformer and text encoder on the encoded clips",
    "teach": "run the newest transformer for one of few steps to learn from",
    "distill": "train a transformer of few steps on these trajectories",
    "assemble": "write the newest parts as one folder, DIR/model",
}
# The part of the recipe that --steps and --decay change, for the stages that train.
TRAINED = {
    "all": "train_flow",
    "vae": "train_vae",
    "flow": "train_flow",
    "distill": "distill",
}
# The stages that use an option; the other stages refuse it.
USED = {
    "weights": ("unpack",),
    "workers": ("all", "vae", "encode"),
    "save": ("all", "vae", "flow", "distill"),
    "products": ("all", "vae", "encode", "flow", "teach", "distill"),
    "clips": ("all", "encode"),
    "steps": tuple(TRAINED),
    "decay": tuple(TRAINED),
}
WEIGHTS = "shapes"  # unpacked if the command line says nothing


def main() -> None:
    """Runs a stage; a stage that was stopped resumes."""
    options = parser().parse_args()
    check(options)
    enable_cache()
    jax.config.update("jax_default_matmul_precision", options.products)
    recipe = changed(RECIPES[options.recipe](), options)
    workers = Runs.workers if options.workers is None else options.workers
    minutes = Runs.save_minutes if options.save is None else options.save
    runs = Runs(recipe, options.out, workers, minutes)
    if options.stage == "unpack":
        runs.unpack(shipped.locate(options.weights or WEIGHTS))
        return
    for stage in ALL if options.stage == "all" else (options.stage,):
        getattr(runs, stage)()


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    lines = "\n".join(f"  {name:10}{text}" for name, text in STAGES.items())
    top = argparse.ArgumentParser(
        prog="python -m chorus_jax.training",
        description=f"Trains a small Wan on the shapes world, in stages:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("stage", choices=list(STAGES))
    top.add_argument("--recipe", default="shapes", choices=list(RECIPES))
    top.add_argument("--out", type=Path, required=True, help="folder of all stages")
    top.add_argument(
        "--weights", help=f"to unpack: a folder, or a shipped name ({WEIGHTS})"
    )
    top.add_argument(
        "--workers", type=int, help=f"processes that render ({Runs.workers})"
    )
    top.add_argument(
        "--save", type=float, help=f"minutes between saves ({Runs.save_minutes:g})"
    )
    top.add_argument(
        "--products",
        choices=["float32", "bfloat16"],
        help="bfloat16 rounds factors: faster on CPUs with matrix units (AMX)",
    )
    of_stage = "of the stage's training (all: of flow's), instead of the recipe's"
    top.add_argument("--steps", type=int, help=of_stage)
    top.add_argument("--decay", type=float, help=of_stage)
    top.add_argument("--clips", type=int, help="instead of the recipe's")
    return top


def check(options: argparse.Namespace) -> None:
    """Refuses options that the stage does not use.

    Raises:
        SystemExit: for such an option.
    """
    for option, stages in USED.items():
        if getattr(options, option) is not None and options.stage not in stages:
            raise SystemExit(
                f"--{option} is for the stages {', '.join(stages)}; {options.stage} "
                "does not use it: leave it out"
            )


def changed(recipe: TrainingRecipe, options: argparse.Namespace) -> TrainingRecipe:
    """The recipe with its numbers replaced by those given on the command line."""
    if options.clips is not None:
        flow = replace(recipe.train_flow, clips=options.clips)
        recipe = replace(recipe, train_flow=flow)
    numbers = {"steps": options.steps, "decay": options.decay}
    if given := {name: x for name, x in numbers.items() if x is not None}:
        name = TRAINED[options.stage]
        training = getattr(recipe, name)
        plan = replace(training.plan, **given)
        recipe = replace(recipe, **{name: replace(training, plan=plan)})
    return recipe


if __name__ == "__main__":
    main()
