"""What a target keeps of its source, as the source's own video shows it."""

from benchmarks.reuse.sources import ShownSource
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.examples import ScenePrompt

STAR = Attributes("red", "star", "small", "left", "gray")
SCORES = {
    "accuracy": 0.0,
    **{f"accuracy_{name}": 1.0 for name in ("colour", "size", "motion", "background")},
    "accuracy_shape": 0.0,
}


def kept(target, source, scores):
    return ShownSource(ScenePrompt("a", (source,)), scores).kept(
        ScenePrompt("b", (target,))
    )


def test_what_differs_is_not_kept():
    blue = Attributes("blue", "star", "small", "left", "gray")
    right = dict.fromkeys(("size", "motion", "background"), 1.0)
    assert kept(blue, STAR, SCORES) == {"shape": 0.0, **right}


def test_a_size_that_one_of_both_omits_is_not_kept():
    unsized = {k: v for k, v in SCORES.items() if k != "accuracy_size"}
    assert "size" not in kept(STAR.unsized(), STAR, SCORES)
    assert "size" not in kept(STAR, STAR.unsized(), unsized)
