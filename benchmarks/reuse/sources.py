"""Sources of a benchmark's cache with the scores of their own videos."""

from dataclasses import dataclass

from benchmarks.lib.judged import Scores
from benchmarks.reuse.cases import changed
from chorus_jax.training.world.attributes import VALUES
from chorus_jax.training.world.examples import ScenePrompt


@dataclass(frozen=True)
class ShownSource:
    """A source's prompt, and the scores of its own video.

    Attributes:
        prompt: the caption and the attributes that it names.
        scores: the oracle's scores of its video.
    """

    prompt: ScenePrompt
    scores: Scores

    def kept(self, target: ScenePrompt) -> Scores:
        """`Target.kept` of a target with this source."""
        [attributes] = target.attributes
        differing = changed(target, self.prompt)
        return {
            name: self.scores[f"accuracy_{name}"]
            for name in VALUES
            if getattr(attributes, name) is not None and name not in differing
        }
