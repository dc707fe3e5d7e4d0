"""Target prompts, and prompts of earlier requests that differ from them."""

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
LAST = 10_000  # draws after which an error is raised


@dataclass(frozen=True)
class Cases:
    """Prompts of one object; all captions are different.

    Attributes:
        targets: the prompts to run.
        sources: the earlier prompts; source j is drawn for target j modulo the number
            of targets.
    """

    targets: tuple[ScenePrompt, ...]
    sources: tuple[ScenePrompt, ...]


class Worded(NamedTuple):
    """A prompt and the seed of its words.

    Attributes:
        prompt: the caption and the attributes that it names.
        wording: the seed that its wording was drawn with.
    """

    prompt: ScenePrompt
    wording: int

    @classmethod
    def of(cls, attributes: Attributes, wording: int) -> "Worded":
        """Words the attributes as a caption.

        Captions with the same seed `wording` differ in as few words as possible.
        """
        caption = paraphrase(attributes, np.random.default_rng(wording))
        return cls(ScenePrompt(caption, (attributes,)), wording)


@dataclass(frozen=True)
class CaseKinds:
    """The kinds of cases that are drawn.

    If possible, a source differs from its target only in the words of the changed
    attributes.

    Attributes:
        pool: the attributes that targets may show.
        allowed: returns whether a source may show given attributes.
        changes: in how many attributes a source differs from its target; the sources of
            a target take these numbers in turns. `WORDING` (0): the source says the
            same in other words.
    """

    pool: Sequence[Attributes]
    allowed: Callable[[Attributes], bool]
    changes: tuple[int, ...]

    def cases(self, targets: int, sources: int, seed: int) -> Cases:
        """Draws cases with a seed.

        Raises a ValueError for fewer sources than targets.
        """
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
        """Random prompts of the pool; half of them do not name the size."""
        while True:
            drawn = self.pool[int(rng.integers(len(self.pool)))]
            named = drawn.unsized() if rng.integers(2) else drawn
            yield Worded.of(named, _seed(rng))

    def sources(
        self, target: Worded, change: int, rng: np.random.Generator
    ) -> Iterator[Worded]:
        """Random prompts that differ from the target's in `change` attributes.

        Raises a ValueError if no such prompt is allowed.
        """
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
    """Cases with targets that training never saw; sources may have any attributes."""
    return CaseKinds(held_out_combinations(), lambda _: True, (1, 2, WORDING))


def changed_only() -> CaseKinds:
    """Held-out targets whose sources all differ from them in one or two attributes.

    No source shows a held-out combination, so none can be a rewording of any target.
    """
    shown = lambda attributes: not is_held_out(attributes)
    return CaseKinds(held_out_combinations(), shown, (1, 2))


def reworded_only() -> CaseKinds:
    """Held-out targets, each with a source that says the same in other words."""
    return replace(held_out(), changes=(WORDING,))


def training() -> CaseKinds:
    """Cases with targets and sources that training saw.

    Some sources differ much from their target, since a threshold can only be set with
    bad matches. Few are rewordings: a rewording is always the best match of its target,
    so the target's other sources are not measured.
    """
    return CaseKinds(
        training_combinations(), lambda x: not is_held_out(x), (1, 2, 1, 3, 1, WORDING)
    )


def new(draws: Iterator[Worded], taken: set[str]) -> Worded:
    """The first draw with a new caption, which is added to `taken`."""
    fresh = next(draw for draw in draws if draw.prompt.caption not in taken)
    taken.add(fresh.prompt.caption)
    return fresh


def changed(target: ScenePrompt, source: ScenePrompt) -> tuple[str, ...]:
    """The attributes that the target names and that differ in the source."""
    [ours], [other] = target.attributes, source.attributes
    names = differing(ours, other)
    return tuple(name for name in names if getattr(ours, name) is not None)


def with_changes(
    attributes: Attributes, change: int, rng: np.random.Generator
) -> Attributes:
    """Attributes with `change` of the named values changed at random."""
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
