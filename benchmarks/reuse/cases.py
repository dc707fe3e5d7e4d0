"""Target prompts, and those of earlier requests that differ from them as was asked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np

from chorus_jax.training.world.attributes import (
    VALUES,
    Attributes,
    differing,
    held_out_combinations,
    is_held_out,
    training_combinations,
)
from chorus_jax.training.world.captions import paraphrase
from chorus_jax.training.world.examples import ScenePrompt

WORDING = 0  # no attribute differs
STUBBORN = 100  # draws after which a source may differ in its wording too
LAST = 10_000


@dataclass(frozen=True)
class Cases:
    """Prompts of one object; all captions are different.

    Attributes:
        targets: what is run.
        sources: the earlier requests; source j was made for target j modulo the number
            of targets.
    """

    targets: tuple[ScenePrompt, ...]
    sources: tuple[ScenePrompt, ...]


class Worded(NamedTuple):
    """A prompt and the seed of its words.

    Attributes:
        prompt: the caption and what it asks for.
        wording: the seed that its wording was drawn with.
    """

    prompt: ScenePrompt
    wording: int

    @classmethod
    def of(cls, attributes: Attributes, wording: int) -> "Worded":
        """The caption of a seed: of two attributes the same words, as far as can be."""
        caption = paraphrase(attributes, np.random.default_rng(wording))
        return cls(ScenePrompt(caption, (attributes,)), wording)


@dataclass(frozen=True)
class CaseKinds:
    """The kinds of cases that are drawn.

    The sources of a target differ from it in no other word if they need not.

    Attributes:
        pool: what targets may show.
        allowed: whether a source may show this.
        changes: in how many attributes sources differ from their target, taken in
            turns; `WORDING` says the same in other words.
    """

    pool: Sequence[Attributes]
    allowed: Callable[[Attributes], bool]
    changes: tuple[int, ...]

    def cases(self, targets: int, sources: int, seed: int) -> Cases:
        """Cases drawn with a seed. ValueError for fewer sources than targets."""
        if not 1 <= targets <= sources:
            raise ValueError(
                "expected one target or more, and as many sources or more, so that "
                f"each has its own; got {targets} targets and {sources} sources"
            )
        rng, taken = np.random.default_rng(seed), set[str]()
        drawn_targets = [new(self.targets(rng), taken) for _ in range(targets)]
        drawn = []
        for j in range(sources):
            turn, which = divmod(j, targets)
            change = self.changes[(which + turn) % len(self.changes)]
            drawn.append(new(self.sources(drawn_targets[which], change, rng), taken))
        return Cases(
            tuple(worded.prompt for worded in drawn_targets),
            tuple(worded.prompt for worded in drawn),
        )

    def targets(self, rng: np.random.Generator) -> Iterator[Worded]:
        """Prompts of the pool, every second one silent about the size."""
        while True:
            drawn = self.pool[int(rng.integers(len(self.pool)))]
            named = drawn.unsized() if rng.integers(2) else drawn
            yield Worded.of(named, _seed(rng))

    def sources(
        self, target: Worded, change: int, rng: np.random.Generator
    ) -> Iterator[Worded]:
        """Prompts that differ from the target's in so many attributes."""
        [attributes] = target.prompt.attributes
        for attempt in count():
            if attempt == LAST:
                raise ValueError(
                    f"no source that is allowed differs in {change} attributes from "
                    f"{attributes}: allow more combinations"
                )
            changed = with_changes(attributes, change, rng)
            same = change != WORDING and attempt < STUBBORN
            if self.allowed(changed):
                yield Worded.of(changed, target.wording if same else _seed(rng))


def held_out() -> CaseKinds:
    """Targets that training never saw; earlier requests may be of anything."""
    return CaseKinds(held_out_combinations(), lambda _: True, (1, 2, WORDING))


def training() -> CaseKinds:
    """Targets and sources that training saw, some of them far apart: without those a
    threshold would never see a bad match. Few are other wordings: where there is one it
    is found before all others, and teaches nothing of them."""
    return CaseKinds(
        training_combinations(), lambda x: not is_held_out(x), (1, 2, 1, 3, 1, WORDING)
    )


def new(draws: Iterator[Worded], taken: set[str]) -> Worded:
    """The first whose caption is not taken, which it then is."""
    fresh = next(draw for draw in draws if draw.prompt.caption not in taken)
    taken.add(fresh.prompt.caption)
    return fresh


def changed(target: ScenePrompt, source: ScenePrompt) -> tuple[str, ...]:
    """The attributes in which two prompts differ, of those that the target names."""
    [ours], [other] = target.attributes, source.attributes
    names = differing(ours, other)
    return tuple(name for name in names if getattr(ours, name) is not None)


def with_changes(
    attributes: Attributes, change: int, rng: np.random.Generator
) -> Attributes:
    """Attributes with so many values changed, but for those that are unsaid."""
    named = [name for name in VALUES if getattr(attributes, name) is not None]
    names = [named[int(i)] for i in rng.permutation(len(named))[:change]]
    others = {
        name: [value for value in VALUES[name] if value != getattr(attributes, name)]
        for name in names
    }
    values = {name: x[int(rng.integers(len(x)))] for name, x in others.items()}
    return replace(attributes, **values)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**32))
