"""Which words matter to reuse: measured on pairs that differ in one attribute.

Every target is made twice from its source's noise: in full, and from the source's
latents at one key step on. If the attribute is right in full and wrong then, it is lost
to reuse; if it is the other way round, it is won, or what a model does badly anyway
would seem lost. The words in which the two prompts differ said it. A linear regression
of this on what these words mean to the model tells words that matter from others, with
a ridge, since they are few beside the numbers of a meaning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from benchmarks.chorus_cases import changed, training
from benchmarks.chorus_models import Loaded
from benchmarks.judged import judge
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.engine.prompt import Prompt as Told
from chorus_jax.inter_request.policy import Policy, Tier
from chorus_jax.inter_request.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.token_diff import difference
from chorus_jax.training.world.examples import Prompt

SEED = 1  # other prompts than those that the policy is searched on
AFTER = 0.3  # of the steps is taken over
RIDGE = 1.0  # pairs' worth, for words of the usual length
MEMORY = 2**30


@dataclass(frozen=True)
class Lost:
    """The attribute in which a pair differs, what its differing words mean, and what
    reuse lost of it: 1, 0, or -1 if it was won."""

    attribute: str
    meanings: Float[np.ndarray, "u e"]
    lost: int


def pairs(loaded: Loaded, count: int) -> Iterator[Lost]:
    """Of so many pairs."""
    cases = replace(training(), changes=(1,)).cases(count, count, SEED)
    step = max(1, round(AFTER * loaded.steps))
    policy = Policy(
        loaded.steps, (Tier(0.0, step, step),), (step,), look=SecondLook(weight=0.0)
    )
    engine = Engine(loaded.pipeline, Cache.in_memory(MEMORY), lambda _: policy)
    both = zip(cases.targets, cases.sources, strict=True)
    for seed, (target, source) in enumerate(tqdm(both, total=count, desc="pairs")):
        yield pair(engine, loaded, target, source, seed)


def pair(
    engine: Engine, loaded: Loaded, target: Prompt, source: Prompt, seed: int
) -> Lost:
    """A pair's: the source is all that its cache holds."""
    [attribute] = changed(target, source)
    request = replace(loaded.request, prompt=target.caption, seed=seed)
    space = f"pair {seed}"

    def right(reuse: Reuse) -> int:
        frames = engine.generate(request, reuse).video.frames
        return int(judge(target, frames)[f"accuracy_{attribute}"])

    full = right(Reuse(read=False, write=False))
    earlier = replace(request, prompt=source.caption)
    engine.generate(earlier, Reuse(read=False, namespace=space))
    kept = right(Reuse(write=False, namespace=space))
    ours, sources = (engine.prepared(each)[0] for each in (request, earlier))
    return Lost(attribute, differing_words(ours, sources), full - kept)


def differing_words(target: Told, source: Told) -> Float[np.ndarray, "u e"]:
    """The meanings of the words that only one of the two has."""
    found = difference(target.keys, source.keys)
    sides = (target.meanings[[*found.added]], source.meanings[[*found.missing]])
    return np.concatenate(sides).astype(np.float64)


def fitted(found: Sequence[Lost]) -> Sensitivity:
    """The sensitivity with the least squared error. ValueError without pairs.

    A pair has weight 1, however many words it differs in. The mean is not pulled to 0.
    """
    if not found:
        raise ValueError("without pairs there is nothing to fit")
    counts = [len(each.meanings) for each in found]
    weight = np.repeat([1 / max(count, 1) for count in counts], counts)[:, None]
    x = np.concatenate([each.meanings for each in found])
    y = np.repeat([float(each.lost) for each in found], counts)[:, None]
    middle, mean = (np.average(z, 0, weight[:, 0]) for z in (x, y))
    x, y = x - middle, y - mean
    bend = x.T @ (weight * x) + RIDGE * np.eye(x.shape[1])
    direction = np.linalg.solve(bend, x.T @ (weight * y))[:, 0]
    offset = float(mean[0] - middle @ direction)
    return Sensitivity(tuple(np.round(direction, 4).tolist()), round(offset, 4))


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
