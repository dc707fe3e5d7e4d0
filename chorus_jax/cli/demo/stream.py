"""A dozen requests of the shapes world in the order of serving, and their results."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from chorus_jax.engine import Engine, Result
from chorus_jax.request import Request


@dataclass(frozen=True)
class Asked:
    """A prompt with its seed.

    Attributes:
        prompt: the text.
        seed: the seed of the noise.
    """

    prompt: str
    seed: int


# Four new prompts, then rewordings, changes and new ones; one request comes twice.
ASKED = (
    Asked("a red circle moves left on a gray background", 1),
    Asked("a large blue square grows on a white background", 2),
    Asked("a small green triangle stays still on a black background", 3),
    Asked("a yellow star moves up on a brown background", 4),
    Asked("a scarlet disc drifting to the left over a grey backdrop", 5),
    Asked("a blue circle moves left on a gray background", 6),
    Asked("a large blue square grows on a striped background", 7),
    Asked("a small green ring stays still on a black background", 8),
    Asked("a yellow star moves up on a brown background", 4),
    Asked("a red circle moves right on a gray background", 9),
    Asked("a yellow star moves up on a brown background", 10),
    Asked("a pink ring moves down on a checkered background", 11),
)


@dataclass(frozen=True, eq=False)
class Served:
    """A request with its result.

    Attributes:
        request: the request.
        result: the engine's result.
    """

    request: Request
    result: Result


def serve(engine: Engine, base: Request, prompts: Iterable[Asked]) -> Iterator[Served]:
    """Serves the requests in order, each with the steps and size of `base`."""
    for one in prompts:
        request = replace(base, prompt=one.prompt, seed=one.seed)
        yield Served(request, engine.generate(request))
