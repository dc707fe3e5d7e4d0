"""Recipes that train a model from nothing, by name."""

from collections.abc import Callable

from chorus_jax.training.recipe import TrainingRecipe
from chorus_jax.training.recipes.large_shapes import large_shapes
from chorus_jax.training.recipes.small_shapes import small_shapes

RECIPES: dict[str, Callable[[], TrainingRecipe]] = {
    "large_shapes": large_shapes,
    "small_shapes": small_shapes,
}
