"""Compares one hit, made in three ways, with its source in a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from chorus_jax.engine import Cache, Engine, Ledger, Policies, Result, Reuse
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.inter_request.policy.policies import nirvana
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.media import video
from chorus_jax.request import Request

ROUNDS = 3
FRAMES = 6  # frames of each video in the picture


@dataclass(frozen=True, eq=False)
class Shown:
    """A video of the comparison.

    Attributes:
        name: the way it was made.
        result: the engine's result.
        seconds: the median over the timed rounds.
    """

    name: str
    result: Result
    seconds: float

    @property
    def ledger(self) -> Ledger:
        """The ledger of the first timed round."""
        return self.result.ledger


@dataclass(frozen=True)
class Comparison:
    """A request that reuses an earlier one, in several ways side by side.

    Attributes:
        pipeline: the model.
        policies: the engine's policies, by request.
        source: the earlier request.
        target: the request that reuses it.
    """

    pipeline: Pipeline
    policies: Policies
    source: Request
    target: Request

    def __call__(self) -> list[Shown]:
        """Makes the source, then the target in full, by `nirvana` and by Chorus.

        The three ways to make the target take turns, after an untimed round in which
        programs are compiled; none writes to the cache.
        """
        ours = self.policies(self.target)
        baseline = nirvana(ours)
        cache = Cache.in_memory()
        nothing = Policy(self.target.step_count, ())
        source = Engine(self.pipeline, cache, nothing).generate(self.source)
        arms = {"full": nothing, "NIRVANA": baseline, "Chorus": ours}
        results_by_arm: dict[str, list[Result]] = {name: [] for name in arms}
        for _ in range(ROUNDS + 1):
            for name, policy in arms.items():
                results_by_arm[name].append(self.made(cache, policy))
        cache.close()
        timed = {name: results[1:] for name, results in results_by_arm.items()}
        return [Shown("source", source, source.ledger.total)] + [
            Shown(name, results[0], median(row.ledger.total for row in results))
            for name, results in timed.items()
        ]

    def made(self, cache: Cache, policy: Policy) -> Result:
        """Makes the target's video with a policy, as if its prompt were new."""
        self.pipeline.model.forget_prompts()
        engine = Engine(self.pipeline, cache, policy)
        return engine.generate(self.target, Reuse(write=False))


def draw(path: Path, groups: Sequence[Sequence[Shown]]) -> None:
    """Draws the videos of all comparisons with their times as one PNG."""
    labels = [label(row, shown) for shown in groups for row in shown]
    frames = [row.result.video.frames for shown in groups for row in shown]
    video.write_contact_sheet(path, frames, labels, columns=FRAMES)


def label(shown: Shown, among: Sequence[Shown]) -> str:
    """The label of a picture's row: the way the video was made, its time and steps."""
    if shown.name == "source":
        return f"source: {shown.result.video.request.prompt}"
    [full] = [row.seconds for row in among if row.name == "full"]
    if shown.name == "full":
        return f"full: {shown.result.video.request.prompt}, {full:.2f} s"
    faster = full / shown.seconds
    return f"{shown.name}: {shown.ledger.kind}, {shown.seconds:.2f} s ({faster:.1f}x)"
