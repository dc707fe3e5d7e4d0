"""Measures which words matter to reuse, on pairs that differ in one attribute.

Every target is made from its source's noise in full, and with ever more of its source
(`LADDER`). If the attribute is right in full and wrong then, it is lost to reuse; if it
is the other way round, it is won, or what a model does badly anyway would seem lost.
How much is lost of what is right in full, the mean over the ladder, orders words by how
early the model decides what they say: it tells how far up the ladder a source is good
for. The words in which the two prompts differ said it. A linear regression of this on
what these words mean to the model tells words that matter from others, with a ridge,
since they are few beside the numbers of a meaning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from benchmarks.lib.judged import judge
from benchmarks.reuse.cases import changed, training
from benchmarks.reuse.models import Loaded
from chorus_jax.calibration.tiers import needed, tier_at
from chorus_jax.engine import Cache, Denoised, Engine, Event, Reuse
from chorus_jax.inter_request.match.matching import Query
from chorus_jax.inter_request.match.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.match.token_diff import difference
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.training.world.examples import ScenePrompt

SEED = 1  # other prompts than those that the policy is searched on
# Shares of the steps that are taken over, and up to which a share of the tokens is run:
# from what loses little to what a rewording bears, evenly, with regions and without.
LADDER = (
    *((0.1, 0.1, 1.0), (0.2, 0.2, 1.0), (0.4, 0.4, 1.0), (0.4, 0.8, 0.5)),
    *((0.6, 0.6, 1.0), (0.7, 0.9, 0.375)),
)
RIDGE = 1.0  # pairs' worth, for words of the usual length
MEMORY = 2**30


@dataclass(frozen=True)
class Lost:
    """A pair of prompts that differ in one attribute, and what reuse loses of it.

    Attributes:
        attribute: its name.
        meanings: those of the words that only one of the two has.
        right: 1 if the attribute is right in the full run, else 0.
        lost: at each rung of the ladder: 1 if reuse lost it, 0 if nothing changed, -1
            if reuse won it.
        beyond: how far the videos differ beyond each region (see `Chosen`).
    """

    attribute: str
    meanings: Float[np.ndarray, "u e"]
    right: int
    lost: tuple[int, ...]
    beyond: tuple[float, ...] = ()


def ladder(steps: int) -> dict[str, Policy]:
    """Policies of one tier each, by name: ever more is reused.

    Tiers that are the same at this number of steps are one policy. All keep the key
    steps of all.
    """
    tiers = dict[str, Tier]()
    for shares in LADDER:
        tier = tier_at(steps, *shares)
        name = f"{tier.reuse_until}"
        if tier.active < 1:
            name += f"-{tier.region_until} {tier.active:g}"
        tiers.setdefault(name, tier)
    keep, look = needed(*tiers.values()), SecondLook(weight=0.0)
    return {k: Policy(steps, (tier,), keep, look=look) for k, tier in tiers.items()}


def pairs(loaded: Loaded, count: int) -> Iterator[Lost]:
    """Runs so many pairs of prompts, and yields the loss of each."""
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
    """A pair's, from each of these engines: the source is all that their cache
    holds."""
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
        return int(judge(target, frames)[f"accuracy_{attribute}"])

    first = engines[0]
    full = right(first, Reuse(read=False, write=False))
    earlier = replace(request, prompt=source.caption)
    first.generate(earlier, Reuse(read=False, namespace=space))
    reuse = Reuse(write=False, namespace=space)
    lost = tuple(full - right(engine, reuse) for engine in engines)
    words = differing_words(*map(first.query, (request, earlier)))
    return Lost(attribute, words, full, lost, tuple(beyond))


def differing_words(target: Query, source: Query) -> Float[np.ndarray, "u e"]:
    """The meanings of the words that only one of the two has."""
    parts = difference(target.words, source.words)
    sides = (target.meanings[[*parts.added]], source.meanings[[*parts.missing]])
    return np.concatenate(sides).astype(np.float64)


def fitted(pairs: Sequence[Lost]) -> Sensitivity:
    """The sensitivity with the least squared error. ValueError without pairs.

    A pair has weight 1, however many words it differs in. What it lost counts for more
    where its attribute is seldom right in full: of that as much may be lost as of
    another. The mean is not pulled to 0.
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
    """The share of full runs that have each attribute right; counted once at least,
    since nothing can be said of what never is."""
    names = dict.fromkeys(pair.attribute for pair in pairs)
    right = {k: [x.right for x in pairs if x.attribute == k] for k in names}
    return {k: max(sum(flags), 1) / len(flags) for k, flags in right.items()}


def rows_of(
    pairs: Sequence[Lost], sensitivity: Sensitivity, rungs: Sequence[str]
) -> Iterator[dict[str, object]]:
    """A row for each attribute: pairs, the share right in full, the share lost, in all
    and at each rung, the mean of what the sensitivity says of their words, and how far
    the videos differ beyond each region, from the least to the most."""
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
