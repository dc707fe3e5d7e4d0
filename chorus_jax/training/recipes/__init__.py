"""Recipes that train a model from scratch, by name."""

from collections.abc import Callable

from chorus_jax.training.recipe import TrainingRecipe
from chorus_jax.training.recipes.shapes import shapes

RECIPES: dict[str, Callable[[], TrainingRecipe]] = {"shapes": shapes}
