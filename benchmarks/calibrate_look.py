"""Which words matter to reuse: measured on pairs that differ in one attribute.

Every target is made twice from its source's noise: in full, and from the source's
latents at one key step on. What is right in full and wrong then is lost to reuse, and
the words in which the two prompts differ said it. A logistic regression on what these
words mean to the model tells such words from others, with a ridge, since they are few
beside the numbers of a meaning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from benchmarks.chorus_cases import Wanted, training
from benchmarks.chorus_models import Loaded
from benchmarks.judged import judge
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.engine.prompt import Prompt as Told
from chorus_jax.inter_request.policy import Policy, Tier
from chorus_jax.inter_request.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.token_diff import difference
from chorus_jax.training.world.attributes import differing
from chorus_jax.training.world.examples import Prompt

SEED = 1  # other prompts than those that the policy is searched on
AFTER = 0.3  # of the steps is taken over
RIDGE, ROUNDS = 1.0, 50
MEMORY = 2**30


@dataclass(frozen=True)
class Lost:
    """The attribute in which a pair differs, what its differing words mean, and whether
    reuse lost it."""

    attribute: str
    meanings: Float[np.ndarray, "u e"]
    lost: bool


def pairs(loaded: Loaded, count: int) -> Iterator[Lost]:
    """Of so many pairs those whose target is right in full."""
    known = training()
    cases = Wanted(known.pool, known.allowed, (1,)).cases(count, count, SEED)
    step = max(1, round(AFTER * loaded.steps))
    policy = Policy(
        loaded.steps, (Tier(0.0, step, step),), (step,), look=SecondLook(weight=0.0)
    )
    engine = Engine(loaded.pipeline, Cache.in_memory(MEMORY), lambda _: policy)
    both = zip(cases.targets, cases.sources, strict=True)
    for seed, (target, source) in enumerate(tqdm(both, total=count, desc="pairs")):
        found = pair(engine, loaded, target, source, seed)
        if found is not None:
            yield found


def pair(
    engine: Engine, loaded: Loaded, target: Prompt, source: Prompt, seed: int
) -> Lost | None:
    """A pair's, None if the target is wrong in full."""
    [mine], [theirs] = target.asked, source.asked
    [attribute] = [x for x in differing(mine, theirs) if getattr(mine, x) is not None]
    request = replace(loaded.request, prompt=target.caption, seed=seed)
    space = f"pair {seed}"

    def right(reuse: Reuse) -> bool:
        frames = engine.generate(request, reuse).video.frames
        return bool(judge(target, frames)[f"accuracy_{attribute}"])

    if not right(Reuse(read=False, write=False)):
        return None
    earlier = replace(request, prompt=source.caption)
    engine.generate(earlier, Reuse(read=False, namespace=space))
    kept = right(Reuse(write=False, namespace=space))
    ours, sources = (engine.prepared(each)[0] for each in (request, earlier))
    return Lost(attribute, differing_words(ours, sources), not kept)


def differing_words(target: Told, source: Told) -> Float[np.ndarray, "u e"]:
    """The meanings of the words that only one of the two has."""
    found = difference(target.keys, source.keys)
    sides = (target.meanings[[*found.added]], source.meanings[[*found.missing]])
    return np.concatenate(sides).astype(np.float64)


def fitted(found: Sequence[Lost]) -> Sensitivity:
    """The likeliest sensitivity, found by Newton's method. ValueError without pairs.

    A pair has weight 1, however many words it differs in.
    """
    if not found:
        raise ValueError("no pair was right in full: there is nothing to fit")
    counts = [len(each.meanings) for each in found]
    x = np.concatenate([each.meanings for each in found])
    x = np.hstack([x, np.ones((len(x), 1))])
    y = np.repeat([float(each.lost) for each in found], counts)
    weight = np.repeat([1 / max(count, 1) for count in counts], counts)
    ridge = np.full(x.shape[1], RIDGE)
    ridge[-1] = 1e-3  # the offset is free, but must end
    w = np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-x @ w))
        slope = x.T @ (weight * (p - y)) + ridge * w
        bend = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        w -= np.linalg.solve(bend, slope)
    *direction, offset = np.round(w, 4).tolist()
    return Sensitivity(tuple(direction), offset)


def told(
    found: Sequence[Lost], sensitivity: Sensitivity
) -> Iterator[dict[str, object]]:
    """A row for each attribute: pairs, the share lost, and the mean of what the
    sensitivity says of their words."""
    for name in dict.fromkeys(each.attribute for each in found):
        of = [each for each in found if each.attribute == name]
        said = [float(sensitivity(x.meanings.astype(np.float16)).max()) for x in of]
        yield {
            "row": name,
            "pairs": len(of),
            "lost": float(np.mean([each.lost for each in of])),
            "sensitivity": float(np.mean(said)),
        }
