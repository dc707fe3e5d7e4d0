"""Requests whose nearest source is a wrong one: how many are harmed by reusing it.

    python -m benchmarks.wrong_sources              # the 50-step model
    python -m benchmarks.wrong_sources --steps 4

Every target meets a cache with one source, chosen to mislead:

    near       differs in three attributes or more, but is worded alike: of so many such
               prompts that with the highest cosine to the target's
    unrelated  differs in everything, and is worded differently
    wording    says the same in other words: the control, which should be a hit

Each pair is asked twice: by the cosine alone, as Chorus takes sources (arXiv
2604.04451), and with the second look at words. A hit is `harmful` if the video is wrong
in an attribute in which target and source differ, but right in the full run from the
same noise. `least` is the policy's lowest threshold.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import rows
from benchmarks.chorus_cases import WORDING, Worded, changed, with_changes
from benchmarks.chorus_models import Loaded, add_options, base_policy, load_model
from benchmarks.judged import Scores, judge
from chorus_jax.engine import Cache, Engine, Ledger, Policies, Reuse
from chorus_jax.inter_request.policy import Policy
from chorus_jax.inter_request.second_look import SecondLook
from chorus_jax.inter_request.store import Store
from chorus_jax.training.world.attributes import VALUES, held_out_combinations

LOOKS = ("cosine", "second_look")
KINDS = ("near", "unrelated", "wording")
ALIKE = 3  # attributes in which near sources differ, or more
KEY = ("row", "look", "steps")
COLUMNS = (
    *("row", "look", "steps", "pairs", "cosine", "least", "hits", "harmful"),
    *("accuracy_changed", "accuracy_changed_full", "equivalents"),
)
MEMORY = 2**30


@dataclass(frozen=True)
class Pair:
    """A target with the only source that there is, and the cosine of the two."""

    kind: str
    target: Worded
    source: Worded
    cosine: float

    @property
    def changed(self) -> tuple[str, ...]:
        """The attributes in which the two differ, of those that the target names."""
        return changed(self.target.prompt, self.source.prompt)

    def harmed(self, made: Scores, full: Scores) -> bool:
        """Whether something that differs is wrong, and was right in the full run."""
        names = [f"accuracy_{name}" for name in self.changed]
        return any(made[name] < full[name] for name in names)


@dataclass(frozen=True)
class Outcome:
    """What became of a pair by one way to look."""

    pair: Pair
    ledger: Ledger
    made: Scores
    full: Scores


class Misleading:
    """Pairs for a model: its engine embeds prompts."""

    def __init__(self, engine: Engine, loaded: Loaded, draws: int):
        self.engine, self.request, self.draws = engine, loaded.request, draws

    def pairs(self, count: int, seed: int) -> Iterator[Pair]:
        """So many pairs of each kind."""
        rng, pool = np.random.default_rng(seed), held_out_combinations()
        for number in range(count * len(KINDS)):
            asked = pool[int(rng.integers(len(pool)))]
            target = Worded.of(asked, int(rng.integers(2**32)))
            kind = KINDS[number % len(KINDS)]
            sources = list(self.sources(kind, target, rng))
            mine = self.embedding(target)
            cosines = [float(mine @ self.embedding(each)) for each in sources]
            best = int(np.argmax(cosines))
            yield Pair(kind, target, sources[best], cosines[best])

    def sources(
        self, kind: str, target: Worded, rng: np.random.Generator
    ) -> Iterator[Worded]:
        """Prompts of a kind."""
        [asked] = target.prompt.asked
        for _ in range(self.draws if kind == "near" else 1):
            changes = {
                "near": int(rng.integers(ALIKE, len(VALUES) + 1)),
                "unrelated": len(VALUES),
                "wording": WORDING,
            }[kind]
            wording = target.wording if kind == "near" else int(rng.integers(2**32))
            yield Worded.of(with_changes(asked, changes, rng), wording)

    def embedding(self, prompt: Worded) -> np.ndarray:
        """As the engine matches it."""
        request = replace(self.request, prompt=prompt.prompt.caption, seed=0)
        told, _, _ = self.engine.prepared(request)
        return told.embedding


def outcomes(
    engines: Mapping[str, Engine], loaded: Loaded, pairs: Sequence[Pair]
) -> Iterator[tuple[str, Outcome]]:
    """What becomes of each pair by each way to look, all from the source's noise."""
    first = next(iter(engines.values()))
    for seed, pair in enumerate(tqdm(pairs, unit="pair")):
        source, target = (
            replace(loaded.request, prompt=each.prompt.caption, seed=seed)
            for each in (pair.source, pair.target)
        )
        alone, near = f"pair {seed}", Reuse(write=False, namespace=f"pair {seed}")
        first.generate(source, Reuse(read=False, namespace=alone))
        plain = first.generate(target, Reuse(read=False, write=False))
        full = judge(pair.target.prompt, plain.video.frames)
        for look, engine in engines.items():
            result = engine.generate(target, near)
            made = judge(pair.target.prompt, result.video.frames)
            yield look, Outcome(pair, result.ledger, made, full)


def row(
    kind: str, look: str, found: Sequence[Outcome], policy: Policy
) -> dict[str, Any]:
    """Counts and means over the pairs of a kind."""
    hits = [each for each in found if each.ledger.kind == "semantic"]
    harmful = [each for each in hits if each.pair.harmed(each.made, each.full)]
    return {
        "row": kind,
        "look": look,
        "steps": policy.steps,
        "pairs": len(found),
        "cosine": float(np.mean([each.pair.cosine for each in found])),
        "least": policy.tiers[0].least if policy.tiers else None,
        "hits": len(hits),
        "harmful": len(harmful),
        "accuracy_changed": right(found, [each.made for each in found]),
        "accuracy_changed_full": right(found, [each.full for each in found]),
        "equivalents": float(np.mean([each.ledger.equivalents for each in found])),
    }


def right(found: Sequence[Outcome], scores: Sequence[Scores]) -> float | None:
    """The share of the attributes in which pairs differ that the videos show."""
    shown = [
        each[f"accuracy_{name}"]
        for outcome, each in zip(found, scores, strict=True)
        for name in outcome.pair.changed
    ]
    return float(np.mean(shown)) if shown else None


def policies(policy: Policy, look: SecondLook) -> Policies:
    """For an engine that looks so."""
    looking = replace(policy, look=look)
    return lambda request: looking


def measure(options: argparse.Namespace, steps: int) -> list[dict[str, Any]]:
    """The rows of one model."""
    loaded = load_model(options, None, steps)
    policy, told = base_policy(options.policy, loaded)
    store = Store(MEMORY)
    engines = {
        name: Engine(loaded.pipeline, Cache(store), policies(policy, look))
        for name, look in zip(LOOKS, (SecondLook(weight=0.0), policy.look), strict=True)
    }
    misleading = Misleading(engines["cosine"], loaded, options.draws)
    pairs = list(misleading.pairs(options.pairs, seed=0))
    found: dict[tuple[str, str], list[Outcome]] = {}
    for look, outcome in outcomes(engines, loaded, pairs):
        found.setdefault((outcome.pair.kind, look), []).append(outcome)
    return [
        {**row(kind, look, found[kind, look], policy), "base": told, **loaded.told}
        for kind in KINDS
        for look in LOOKS
    ]


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--steps", type=int, nargs="+", default=[50])
    top.add_argument("--pairs", type=int, default=50, help="of each kind")
    top.add_argument("--draws", type=int, default=32, help="for a near source")
    top.add_argument("--policy", type=Path, help="a JSON file; calibrated if unset")
    options = top.parse_args()
    rows.commit()  # rows name it: better to fail here than after an hour
    measured = [row for steps in options.steps for row in measure(options, steps)]
    rows.update("wrong_sources", measured, KEY)
    print(rows.table(measured, COLUMNS))
    print(rows.device())


if __name__ == "__main__":
    main()
