"""Captioned videos and prompts of the world, for training and evaluation."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from chorus_jax.training.world.attributes import (
    Attributes,
    differing,
    is_held_out,
    training_combinations,
)
from chorus_jax.training.world.captions import paraphrase
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.render import filmed
from chorus_jax.training.world.scene import Scene, World


@dataclasses.dataclass(frozen=True)
class ScenePrompt:
    """A caption and the attributes that it asks for.

    Attributes:
        caption: the text of the caption.
        attributes: the attributes of one object, or of two.
    """

    caption: str
    attributes: tuple[Attributes, ...]


@dataclasses.dataclass(frozen=True)
class Example:
    """A caption with a video that shows it.

    Attributes:
        prompt: the caption and the attributes that it names.
        video: its frames, 0 to 255.
        scene: the scene that was drawn.
    """

    prompt: ScenePrompt
    video: UInt8[np.ndarray, "f height width 3"]
    scene: Scene


def training_example(seed: int | np.random.Generator, world: World) -> Example:
    """A random example that is not held out; half of the captions omit the size."""
    rng = np.random.default_rng(seed)
    attributes = _draw(rng, training_combinations())
    prompt = ScenePrompt(paraphrase(attributes, rng), (attributes,))
    scene = place(attributes, rng, world)
    return Example(prompt, filmed(scene, rng), scene)


def training_pair(seed: int | np.random.Generator, world: World) -> Example:
    """An example of two small objects of different colours, neither of them held out.

    The caption omits their sizes.
    """
    rng = np.random.default_rng(seed)
    pool = training_combinations()
    first = _draw(rng, pool).unsized()
    second = first
    while is_held_out(second) or "colour" not in differing(first, second):
        second = _draw(rng, pool).unsized()
        second = dataclasses.replace(second, background=first.background)
    prompt = ScenePrompt(paraphrase(first, rng, second), (first, second))
    scene = place(first, rng, world, second)
    return Example(prompt, filmed(scene, rng), scene)


def prompts(
    pool: Sequence[Attributes], count: int, seed: int
) -> tuple[ScenePrompt, ...]:
    """Prompts of one object, with the pool's combinations equally frequent."""
    rng = np.random.default_rng(seed)
    order = np.concatenate(
        [rng.permutation(len(pool)) for _ in range(-(-count // len(pool)))]
    )
    attributes = [_said(rng, pool[int(k)]) for k in order[:count]]
    return tuple(ScenePrompt(paraphrase(shown, rng), (shown,)) for shown in attributes)


def _draw(rng: np.random.Generator, pool: Sequence[Attributes]) -> Attributes:
    return _said(rng, pool[int(rng.integers(len(pool)))])


def _said(rng: np.random.Generator, attributes: Attributes) -> Attributes:
    return attributes.unsized() if rng.integers(2) else attributes
