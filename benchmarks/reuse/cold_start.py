"""Hit rates and times of a stream of requests that starts with an empty cache.

    python -m benchmarks.reuse.cold_start
    python -m benchmarks.reuse.cold_start --steps 4 --requests 400

Requests go to the shipped model one after another. Their meanings (attributes of the
shapes world) have a Zipf popularity; wording and noise are new each time, so that no
request is an exact repeat. Figure 9 of the Chorus paper (arXiv 2604.04451) shows the
same figures for its own traffic. Every tenth request is also made without the cache. A
request during which a program is compiled is repeated, and only the last run is timed.

A row covers one window of requests: `hit_rate`, mean `seconds` (with admission) and
`equivalents`, and `accuracy` of the videos. `baseline_seconds` and `baseline_accuracy`
are means over all requests made without the cache; `ratio` is `seconds` divided by
`baseline_seconds`. `benchmarks.reuse.cold_start_prompts` has the hit rates on prompts
of real users.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.lib import rows
from benchmarks.lib.compiling import Compilations
from benchmarks.lib.judged import judge
from benchmarks.reuse.cases import Worded
from benchmarks.reuse.models import Loaded, add_options, base_policy, load_model
from chorus_jax.engine import Cache, Engine, Ledger, Reuse
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import Attributes, held_out_combinations
from chorus_jax.training.world.examples import ScenePrompt

KEY = ("row", "steps", "until")
COLUMNS = (
    *("row", "steps", "until", "hit_rate", "equivalents", "seconds"),
    *("baseline_seconds", "ratio", "accuracy", "baseline_accuracy"),
)
BESIDE = 10  # every n-th request is also made without the cache
MEMORY = 4 * 2**30


@dataclass(frozen=True)
class Traffic:
    """Random requests whose meanings have a Zipf popularity.

    Attributes:
        meanings: the requested attributes, the most popular first.
        exponent: the frequency of the r-th meaning is proportional to 1 / r^exponent.
    """

    meanings: Sequence[Attributes]
    exponent: float

    def prompts(self, count: int, seed: int) -> Iterator[ScenePrompt]:
        """Draws `count` prompts; equal seeds give equal prompts."""
        rng = np.random.default_rng(seed)
        ranks = np.arange(1, len(self.meanings) + 1)
        shares = ranks**-self.exponent
        for which in rng.choice(len(ranks), count, p=shares / shares.sum()):
            wording = int(rng.integers(2**32))
            yield Worded.of(self.meanings[which], wording).prompt

    @classmethod
    def of(cls, pool: Sequence[Attributes], count: int, exponent: float) -> "Traffic":
        """Draws `count` meanings of the pool, in a random order of popularity."""
        order = np.random.default_rng(1).permutation(len(pool))[:count]
        return cls([pool[i] for i in order], exponent)


@dataclass(frozen=True)
class ServedRequest:
    """The measured figures of one served request.

    Attributes:
        ledger: the request's ledger.
        seconds: wall-clock time.
        accuracy: the share of the named attributes that the video has right.
    """

    ledger: Ledger
    seconds: float
    accuracy: float


class Server:
    """Serves requests by an engine, and times them without compilation."""

    def __init__(self, engine: Engine):
        self.engine, self.compilations = engine, Compilations()

    def __call__(
        self, prompt: ScenePrompt, request: Request, reuse: Reuse
    ) -> ServedRequest:
        """Serves a request, timed without compilation."""
        pipeline, store = self.engine.pipeline, self.engine.cache.store
        while True:
            compiled, began = self.compilations.count, time.perf_counter()
            result = self.engine.generate(request, reuse)
            seconds = time.perf_counter() - began
            if self.compilations.count == compiled:
                break
            store.delete(str(result.entry))
            pipeline.model.forget_prompts()
        scores = judge(prompt, result.video.frames)
        shown = [v for name, v in scores.items() if name.startswith("accuracy_")]
        return ServedRequest(result.ledger, seconds, float(np.mean(shown)))


def served(
    loaded: Loaded, engine: Engine, scene_prompts: Sequence[ScenePrompt]
) -> tuple[list[ServedRequest], list[ServedRequest]]:
    """Serves all requests; returns their figures, with and without the cache.

    Only every `BESIDE`-th request is also made without the cache.
    """
    server, cached, plain = Server(engine), [], []
    for seed, prompt in enumerate(tqdm(scene_prompts, unit="request")):
        request = replace(loaded.request, prompt=prompt.caption, seed=seed)
        cached.append(server(prompt, request, Reuse()))
        if seed % BESIDE == 0:
            engine.pipeline.model.forget_prompts()
            off = Reuse(read=False, write=False)
            plain.append(server(prompt, request, off))
    return cached, plain


def windows(
    cached: Sequence[ServedRequest], plain: Sequence[ServedRequest], size: int
) -> Iterator[dict[str, Any]]:
    """A row for each window of `size` requests; the last one may be shorter."""
    base = float(np.mean([request.seconds for request in plain]))
    right = float(np.mean([request.accuracy for request in plain]))
    for first in range(0, len(cached), size):
        part = cached[first : first + size]
        seconds = float(np.mean([request.seconds for request in part]))
        hits = [request.ledger.kind == "semantic" for request in part]
        yield {
            "row": "shapes",
            "until": first + len(part),
            "hit_rate": float(np.mean(hits)),
            "equivalents": float(
                np.mean([request.ledger.equivalents for request in part])
            ),
            "seconds": seconds,
            "baseline_seconds": base,
            "ratio": seconds / base,
            "accuracy": float(np.mean([request.accuracy for request in part])),
            "baseline_accuracy": right,
        }


def measure(options: argparse.Namespace, steps: int) -> list[dict[str, Any]]:
    """Measures the model for this number of steps; returns its rows."""
    loaded = load_model(options, None, steps)
    policy, name = base_policy(options.policy, loaded)
    traffic = Traffic.of(held_out_combinations(), options.meanings, options.exponent)
    engine = Engine(loaded.pipeline, Cache.in_memory(MEMORY), policy)
    scene_prompts = list(traffic.prompts(options.requests, seed=0))
    cached, plain = served(loaded, engine, scene_prompts)
    common = {
        "steps": steps,
        "meanings": len(traffic.meanings),
        "exponent": options.exponent,
        "base": name,
        **loaded.facts,
    }
    return [{**row, **common} for row in windows(cached, plain, options.window)]


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--steps", type=int, nargs="+", default=[4])
    top.add_argument("--requests", type=int, default=400)
    top.add_argument("--window", type=int, default=25, help="requests of one row")
    top.add_argument("--meanings", type=int, default=150, help="that are asked for")
    top.add_argument("--exponent", type=float, default=1.0, help="of the Zipf law")
    top.add_argument("--policy", type=Path, help="a JSON file; calibrated if unset")
    return top


def main() -> None:
    """Measures, writes the rows, prints the table."""
    options = parser().parse_args()
    rows.commit()  # rows need it: better to fail here than after minutes
    measured = [row for steps in options.steps for row in measure(options, steps)]
    rows.update("cold_start", measured, KEY)
    print(rows.table(measured, COLUMNS))
    print(rows.device())


if __name__ == "__main__":
    main()
