"""Requests whose only source is misleading: how many are harmed by reusing it.

    python -m benchmarks.reuse.wrong_sources              # the 50-step model
    python -m benchmarks.reuse.wrong_sources --steps 4

Every target has a cache with one source, chosen to mislead (see `wrong_pairs`): one
that differs in a word, is near or unrelated, or, as the control, says the same in other
words and should be a hit. Each is run with two tables of tiers and two ways to score a
match (looks):

    cosine, second_look                  our policy's tiers
    nirvana_cosine, nirvana_second_look  NIRVANA's own table

Chorus matches sources by the cosine only (arXiv 2604.04451); the second look compares
words (see `SecondLook`). With the same table, both looks have the same thresholds and
plans, so that a difference in harm is due to the look. However, our thresholds were
chosen for scores of the second look, and may be far too low or too high for cosines.
So `nirvana_cosine` shows what a cache with the cosine only would do, with the plans of
NIRVANA and its thresholds, which are made for cosines.

A hit is `harmful` if an attribute that the target names is wrong in the video, but
right in the full run from the same noise, and `misled` if it is one in which target and
source differ. `least` is the table's lowest threshold.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.lib import rows
from benchmarks.lib.judged import Scores, judge, lost
from benchmarks.reuse.bench import OWN_SEEDS
from benchmarks.reuse.models import Loaded, add_options, base_policy, load_model
from benchmarks.reuse.wrong_pairs import KINDS, Misleading, MisleadingPair
from chorus_jax.engine import Cache, Engine, Ledger, Reuse
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policies import NIRVANA
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.store import Store

KEY = ("row", "look", "steps")
COLUMNS = (
    *("row", "look", "steps", "pairs", "cosine", "least", "hits", "harmful"),
    *("misled", "accuracy_changed", "accuracy_changed_full", "equivalents"),
)
MEMORY = 2**30


@dataclass(frozen=True)
class Outcome:
    """The outcome of a pair with one table of tiers and one look.

    Attributes:
        pair: the target and its source.
        ledger: the request's ledger.
        made: the oracle's scores of the video.
        full: the oracle's scores of the full run.
    """

    pair: MisleadingPair
    ledger: Ledger
    made: Scores
    full: Scores


def outcomes(
    plain: Engine,
    engines: Mapping[str, Engine],
    loaded: Loaded,
    pairs: Sequence[MisleadingPair],
) -> Iterator[tuple[str, Outcome]]:
    """Runs each pair with each engine, all from the target's noise.

    The engine `plain` makes the sources and the full runs.
    """
    for seed, pair in enumerate(tqdm(pairs, unit="pair")):
        source, target = (
            replace(loaded.request, prompt=worded.prompt.caption, seed=first + seed)
            for first, worded in ((0, pair.source), (OWN_SEEDS, pair.target))
        )
        alone, reading = f"pair {seed}", Reuse(write=False, namespace=f"pair {seed}")
        plain.generate(source, Reuse(read=False, namespace=alone))
        full_run = plain.generate(target, Reuse(read=False, write=False))
        full = judge(pair.target.prompt, full_run.video.frames)
        for look, engine in engines.items():
            result = engine.generate(target, reading)
            made = judge(pair.target.prompt, result.video.frames)
            yield look, Outcome(pair, result.ledger, made, full)


def row(
    kind: str, look: str, outcomes: Sequence[Outcome], policy: Policy
) -> dict[str, Any]:
    """The row of a kind and a look: counts and means over the pairs."""
    hits = [outcome for outcome in outcomes if outcome.ledger.kind == "semantic"]
    return {
        "row": kind,
        "look": look,
        "steps": policy.steps,
        "pairs": len(outcomes),
        "cosine": float(np.mean([outcome.pair.cosine for outcome in outcomes])),
        "least": policy.tiers[0].least if policy.tiers else None,
        "hits": len(hits),
        "harmful": sum(bool(lost(hit.made, hit.full)) for hit in hits),
        "misled": sum(hit.pair.misled(hit.made, hit.full) for hit in hits),
        "accuracy_changed": right(outcomes, [outcome.made for outcome in outcomes]),
        "accuracy_changed_full": right(
            outcomes, [outcome.full for outcome in outcomes]
        ),
        "equivalents": float(
            np.mean([outcome.ledger.equivalents for outcome in outcomes])
        ),
    }


def right(outcomes: Sequence[Outcome], scores: Sequence[Scores]) -> float | None:
    """The share of differing attributes that are right; None if none differ."""
    shown = [
        shown[f"accuracy_{name}"]
        for outcome, shown in zip(outcomes, scores, strict=True)
        for name in outcome.pair.changed
    ]
    return float(np.mean(shown)) if shown else None


def ways(policy: Policy) -> dict[str, Policy]:
    """Our tiers and NIRVANA's, each with the cosine only and with our second look."""
    baseline = NIRVANA.for_steps(policy.steps)
    return {
        name + look: replace(tiers, look=how)
        for name, tiers in (("", policy), ("nirvana_", baseline))
        for look, how in (
            ("cosine", SecondLook(weight=0.0)),
            ("second_look", policy.look),
        )
    }


def measure(options: argparse.Namespace, steps: int) -> list[dict[str, Any]]:
    """Measures the model for this number of steps; returns its rows."""
    loaded = load_model(options, None, steps)
    policy, name = base_policy(options.policy, loaded)
    policies, store = ways(policy), Store(MEMORY)
    make = lambda policy: Engine(loaded.pipeline, Cache(store), policy)
    plain = make(Policy(steps, ()))
    engines = {name: make(policy) for name, policy in policies.items()}
    misleading = Misleading(plain, loaded.request, options.draws)
    pairs = list(misleading.pairs(options.pairs, seed=0))
    made: dict[tuple[str, str], list[Outcome]] = {}
    for look, outcome in outcomes(plain, engines, loaded, pairs):
        made.setdefault((outcome.pair.kind, look), []).append(outcome)
    return [
        {**row(kind, look, made[kind, look], policy), "base": name, **loaded.facts}
        for kind in KINDS
        for look, policy in policies.items()
    ]


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--steps", type=int, nargs="+", default=[50])
    top.add_argument("--pairs", type=int, default=50, help="of each kind")
    top.add_argument("--draws", type=int, default=32, help="of sources worded alike")
    top.add_argument("--policy", type=Path, help="a JSON file; calibrated if unset")
    options = top.parse_args()
    rows.commit()  # rows need it: better to fail here than after an hour
    measured = [row for steps in options.steps for row in measure(options, steps)]
    rows.update("wrong_sources", measured, KEY)
    print(rows.table(measured, COLUMNS))
    print(rows.device())


if __name__ == "__main__":
    main()
