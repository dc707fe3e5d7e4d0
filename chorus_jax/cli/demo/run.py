"""Runs `chorus demo`: serves requests, prints their ledgers, draws the hits."""

from pathlib import Path

from tqdm import tqdm

from chorus_jax.cli.demo.comparison import Comparison, draw
from chorus_jax.cli.demo.stream import ASKED, Asked, Served, serve
from chorus_jax.cli.demo.table import HEAD, line, summary
from chorus_jax.engine import Cache, Engine, Policies
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.media import video
from chorus_jax.request import Request


def run(
    pipeline: Pipeline,
    base: Request,
    policies: Policies,
    folder: Path,
    fps: int,
    prompts: tuple[Asked, ...] = ASKED,
) -> list[Served]:
    """Serves the requests from an empty cache, prints their ledgers, and writes their
    videos and a picture of up to two hits into the folder.

    All are served twice, the first time to compile the programs, so that the printed
    seconds do not include compilation. The cache is empty at the start of both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = Cache.in_memory()
    warm = serve(Engine(pipeline, first, policies), base, prompts)
    list(tqdm(warm, desc="compile", total=len(prompts), unit="request", disable=None))
    first.close()
    pipeline.model.forget_prompts()
    cache = Cache.in_memory()
    print(HEAD)
    served = []
    for answer in serve(Engine(pipeline, cache, policies), base, prompts):
        served.append(answer)
        print(line(len(served), answer), flush=True)
        file = folder / f"{len(served):02}.mp4"
        video.write(file, answer.result.video.frames, fps)
    cache.close()
    print(*summary(served), sep="\n")
    picture(pipeline, policies, served, folder)
    return served


def picture(
    pipeline: Pipeline,
    policies: Policies,
    served: list[Served],
    folder: Path,
) -> None:
    """Draws hits beside their sources, if there are any, and prints what it drew."""
    pairs = compared(served)
    if not pairs:
        print("no request was a hit on another prompt: there is nothing to compare")
        return
    draw(
        folder / "demo.png",
        [Comparison(pipeline, policies, *pair)() for pair in pairs],
    )
    for source, target in pairs:
        print(f"{folder / 'demo.png'}: {target.prompt}, made from: {source.prompt}")


def compared(served: list[Served]) -> list[tuple[Request, Request]]:
    """Pairs (source, target) of the hits that reused most and least of another prompt.

    Fewer if there are fewer such hits.
    """
    sources = {answer.result.entry: answer.request for answer in served}
    pairs = [
        (
            answer.result.ledger.equivalents,
            sources[answer.result.ledger.source],
            answer.request,
        )
        for answer in served
        if answer.result.ledger.kind == "semantic"
    ]
    pairs = [pair for pair in pairs if pair[1].prompt != pair[2].prompt]
    pairs.sort(key=lambda pair: pair[0])
    ends = pairs[:1] + pairs[1:][-1:]
    return [(source, target) for _, source, target in ends]
