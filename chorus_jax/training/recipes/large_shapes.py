"""The recipe of weights that draw shapes: larger objects, coarser tokens, wider model.

    python -m chorus_jax.training all --recipe large_shapes --out DIR

A token is 8x8 pixels of all frames, so a clip has 64 tokens: a quarter as many as in
`small_shapes`, and the transformer is nearly twice as wide. A silhouette then lies in
few tokens of high capacity, a clip costs half as much to train on, and the tiles of
regions keep their size, which was four of the finer tokens.

The VAE is that of `small_shapes`, trained on its smaller objects, whose edges are the
harder ones.
"""

from dataclasses import replace

from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.recipe import FlowTraining, TrainingRecipe
from chorus_jax.training.recipes.small_shapes import small_shapes
from chorus_jax.training.world.scene import ObjectSizes, World

SIZES = ObjectSizes(small=0.17, large=0.23, growth=(0.2, 0.3))


def large_shapes() -> TrainingRecipe:
    """A transformer of 5 layers and width 288."""
    small = small_shapes()
    return replace(
        small,
        world=World(height=64, width=64, frames=17, sizes=SIZES),
        transformer=replace(
            small.transformer,
            heads=9,
            depth=5,
            mlp_width=864,
            patch=(5, 2, 2),
            tile=(1, 1, 1),
        ),
        train_flow=FlowTraining(
            TrainingPlan(
                steps=24_000,
                batch=64,
                learning_rate=2e-2,
                warmup=100,
                decay=0.15,
                average=0.998,
            ),
            clips=8000,
            # Larger than the sampler's: high noise levels decide where things are.
            shift=4.5,
            near=1.5,
        ),
    )
