"""`python -m chorus_jax.training STAGE --config configs/shapes.py --out DIR`."""

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from chorus_jax.checkpoints import shipped
from chorus_jax.devices.compilation import enable_cache
from chorus_jax.training.recipe import Recipe
from chorus_jax.training.runs import Runs

STAGES = {
    "unpack": "take a finished model apart, to train it further (--weights)",
    "vae": "train the VAE",
    "encode": "measure the newest VAE's latents and encode clips with it",
    "flow": "train transformer and text encoder on the encoded clips",
    "teach": "run the newest transformer for one of few steps to learn from",
    "distill": "train a transformer of few steps on these trajectories",
    "assemble": "write the newest parts as one folder, DIR/model",
}


def main() -> None:
    """Runs a stage; every stage goes on where it was stopped."""
    options = parser().parse_args()
    enable_cache()
    jax.config.update("jax_default_matmul_precision", options.products)
    recipe = load_recipe(options.config)
    runs = Runs(changed(recipe, options), options.out, options.workers, options.save)
    if options.stage == "unpack":
        runs.unpack(options.weights or shipped.folder())
    else:
        getattr(runs, options.stage)()


def parser() -> argparse.ArgumentParser:
    """The options."""
    lines = "\n".join(f"  {name:10}{text}" for name, text in STAGES.items())
    top = argparse.ArgumentParser(
        prog="python -m chorus_jax.training",
        description=f"Trains a small Wan on the shapes world, in stages:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("stage", choices=list(STAGES))
    top.add_argument("--config", type=Path, required=True, help="has get_recipe()")
    top.add_argument("--out", type=Path, required=True, help="folder of all stages")
    top.add_argument("--weights", type=Path, help="to unpack; else the shipped ones")
    top.add_argument("--workers", type=int, default=0, help="processes that render")
    top.add_argument("--save", type=float, default=5.0, help="minutes between saves")
    top.add_argument(
        "--products",
        choices=["float32", "bfloat16"],
        help="bfloat16 rounds factors: faster on CPUs with matrix units (AMX)",
    )
    top.add_argument("--steps", type=int, help="instead of the recipe's")
    top.add_argument("--clips", type=int, help="instead of the recipe's")
    return top


def load_recipe(path: Path) -> Recipe:
    """The recipe of a config file. ValueError if the file gives none."""
    spec = importlib.util.spec_from_file_location("config", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"--config {path} is no Python file")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recipe = module.get_recipe() if hasattr(module, "get_recipe") else None
    if not isinstance(recipe, Recipe):
        raise ValueError(f"--config {path} needs a get_recipe() that returns a Recipe")
    return recipe


def changed(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """The recipe with the numbers that were given in place of its own."""
    if options.clips is not None:
        flow = replace(recipe.train_flow, clips=options.clips)
        recipe = replace(recipe, train_flow=flow)
    if options.steps is not None:
        name = {"vae": "train_vae", "distill": "distill"}.get(
            options.stage, "train_flow"
        )
        training = getattr(recipe, name)
        plan = replace(training.plan, steps=options.steps)
        recipe = replace(recipe, **{name: replace(training, plan=plan)})
    return recipe


if __name__ == "__main__":
    main()
