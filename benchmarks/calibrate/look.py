"""Measures which words matter to reuse, on pairs that differ in one attribute.

Every target is made by a full run, and from the same noise with more and more reuse of
its source (`LADDER`). If the full run is right in all attributes and the run with reuse
is not, the target is lost. All attributes count, not only the one that differs: a
source of another colour rarely has the wrong colour in the end, but may damage the
shape. If the full run is wrong and the run with reuse right, the target is won, which
counts as a negative loss: otherwise prompts that the model often gets wrong would seem
lost. The mean loss over the ladder, as a share of the full runs that are right, orders
attributes by how far up the ladder a source that differs in them can be reused. A
linear regression of this loss on the model's meanings (embeddings) of the words in
which the two prompts differ gives each word's sensitivity. It has a ridge penalty,
since a meaning is wide compared with the number of pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from benchmarks.calibrate.plans import tier_name
from benchmarks.lib.judged import judge
from benchmarks.reuse.bench import OWN_SEEDS
from benchmarks.reuse.cases import changed, training
from benchmarks.reuse.models import Loaded
from chorus_jax.calibration.tiers import tier_at
from chorus_jax.engine import Cache, Denoised, Engine, Event, Reuse
from chorus_jax.inter_request.match.matching import Query
from chorus_jax.inter_request.match.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.match.token_diff import difference
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.training.world.examples import ScenePrompt

SEED = 1  # draws other prompts than the policy search uses
# `reuse_until` and `region_until` as shares of the steps, and the active share of the
# tokens: evenly from plans that lose little to plans that only rewordings can bear.
LADDER = (
    *((0.1, 0.1, 1.0), (0.2, 0.2, 1.0), (0.4, 0.4, 1.0), (0.4, 0.8, 0.5)),
    *((0.6, 0.6, 1.0), (0.7, 0.9, 0.375)),
)
RIDGE = 1.0  # the penalty; weighs as much as one pair with words of the usual norm
MEMORY = 2**30


@dataclass(frozen=True)
class Lost:
    """A pair of prompts that differ in one attribute, and what reuse loses.

    Attributes:
        attribute: the name of the attribute that differs.
        meanings: the meanings of the words that only one of the prompts has.
        right: 1 if all attributes are right in the full run, else 0.
        lost: at each rung of the ladder, 1 if the target was lost, 0 if nothing
            changed, -1 if it was won.
        beyond: the difference of the videos outside each region (see `Chosen`).
    """

    attribute: str
    meanings: Float[np.ndarray, "u e"]
    right: int
    lost: tuple[int, ...]
    beyond: tuple[float, ...] = ()


def ladder(steps: int) -> dict[str, Policy]:
    """Policies of one tier each, by name, with more and more reuse.

    Tiers that are the same at this number of steps are one policy.
    """
    tiers = dict[str, Tier]()
    for shares in LADDER:
        tier = tier_at(steps, *shares)
        tiers.setdefault(tier_name(tier), tier)
    look = SecondLook(weight=0.0)
    return {k: Policy(steps, (tier,), look=look) for k, tier in tiers.items()}


def pairs(loaded: Loaded, count: int) -> Iterator[Lost]:
    """Runs `count` pairs of prompts, and yields the loss of each."""
    cases = replace(training(), changes=(1,)).cases(count, count, SEED)
    cache = Cache.in_memory(MEMORY)
    engines = [
        Engine(loaded.pipeline, cache, policy)
        for policy in ladder(loaded.steps).values()
    ]
    prompts = zip(cases.targets, cases.sources, strict=True)
    for seed, (target, source) in enumerate(tqdm(prompts, total=count, desc="pairs")):
        yield pair(engines, loaded, target, source, seed)


def pair(
    engines: Sequence[Engine],
    loaded: Loaded,
    target: ScenePrompt,
    source: ScenePrompt,
    seed: int,
) -> Lost:
    """Runs a pair in full and with each engine, whose cache has only the source."""
    [attribute] = changed(target, source)
    request = replace(loaded.request, prompt=target.caption, seed=seed)
    space = f"pair {seed}"
    beyond: list[float] = []

    def observe(event: Event) -> None:
        if isinstance(event, Denoised) and event.chosen is not None:
            beyond.append(float(event.chosen.beyond[0]))

    def right(engine: Engine, reuse: Reuse) -> int:
        frames = engine.generate(
            request, reuse, observer=observe, every=None
        ).video.frames
        return int(judge(target, frames)["accuracy"])

    first = engines[0]
    full = right(first, Reuse(read=False, write=False))
    earlier = replace(request, prompt=source.caption, seed=OWN_SEEDS + seed)
    first.generate(earlier, Reuse(read=False, namespace=space))
    reuse = Reuse(write=False, namespace=space)
    lost = tuple(full - right(engine, reuse) for engine in engines)
    words = differing_words(*map(first.query, (request, earlier)))
    return Lost(attribute, words, full, lost, tuple(beyond))


def differing_words(target: Query, source: Query) -> Float[np.ndarray, "u e"]:
    """The meanings of the words that only one of the two prompts has."""
    parts = difference(target.words, source.words)
    sides = (target.meanings[[*parts.added]], source.meanings[[*parts.missing]])
    return np.concatenate(sides).astype(np.float64)


def fitted(pairs: Sequence[Lost]) -> Sensitivity:
    """Fits the sensitivity by ridge regression.

    A pair has weight 1, however many words it differs in. Losses are divided by the
    share of right full runs, so that attributes with few right full runs count as much
    as others. The ridge does not apply to the mean. Raises a ValueError without pairs.
    """
    if not pairs:
        raise ValueError("without pairs there is nothing to fit")
    counts = [len(pair.meanings) for pair in pairs]
    weight = np.repeat([1 / max(count, 1) for count in counts], counts)[:, None]
    x = np.concatenate([pair.meanings for pair in pairs])
    rate = rates(pairs)
    share = [np.mean(pair.lost) / rate[pair.attribute] for pair in pairs]
    y = np.repeat(share, counts)[:, None]
    middle, mean = (np.average(z, 0, weight[:, 0]) for z in (x, y))
    x, y = x - middle, y - mean
    bend = x.T @ (weight * x) + RIDGE * np.eye(x.shape[1])
    direction = np.linalg.solve(bend, x.T @ (weight * y))[:, 0]
    offset = float(mean[0] - middle @ direction)
    return Sensitivity(tuple(np.round(direction, 4).tolist()), round(offset, 4))


def rates(pairs: Sequence[Lost]) -> dict[str, float]:
    """The share of full runs that are right, by the attribute that differs.

    At least one run counts as right, because losses are divided by the share.
    """
    names = dict.fromkeys(pair.attribute for pair in pairs)
    right = {k: [x.right for x in pairs if x.attribute == k] for k in names}
    return {k: max(sum(flags), 1) / len(flags) for k, flags in right.items()}


def rows_of(
    pairs: Sequence[Lost], sensitivity: Sensitivity, rungs: Sequence[str]
) -> Iterator[dict[str, object]]:
    """Yields a row for each attribute.

    It has the number of pairs, the share of full runs that are right, the share lost
    (over all rungs and at each one), the mean sensitivity of the most sensitive
    differing word, and the sorted differences of the videos outside each region.
    """
    regional = [rung for rung in rungs if "-" in rung]
    for name in dict.fromkeys(pair.attribute for pair in pairs):
        of = [pair for pair in pairs if pair.attribute == name]
        values = [float(sensitivity(x.meanings.astype(np.float16)).max()) for x in of]
        yield {
            "row": name,
            "pairs": len(of),
            "right": float(np.mean([pair.right for pair in of])),
            "lost": float(np.mean([pair.lost for pair in of])),
            "lost_at": dict(
                zip(rungs, np.mean([x.lost for x in of], axis=0).tolist(), strict=True)
            ),
            "sensitivity": float(np.mean(values)),
            "beyond": {
                rung: sorted(pair.beyond[i] for pair in of if pair.beyond)
                for i, rung in enumerate(regional)
            },
        }
