"""The memory of a run's programs, estimated without compiling them.

The arguments of the denoising step are counted; temporaries are estimated. The rule for
the step was fitted to compiled steps (benchmarks/speed compares both); the rule for
decoders was not, because compiling a decoder takes long.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params

from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.fit import placing
from chorus_jax.fit.compiled import ProgramMemory
from chorus_jax.fit.run import OutlinedRun, encode, tokens_of

# Temporaries of a denoising step: copies of the keys and values that a chip attends to,
# and arrays [tokens, width] over the chip's own tokens.
KEY_COPIES, STREAMS = 5, 6
# Copies of held keys and values, which are written in place a layer at a time, and of
# step caches' states. Fitted to small models whose states are most of their memory: .16
# copies of keys for a region, .44 for token budgets (one v6e), .2 to .3 of states (one
# v5e, four v6e).
HELD_COPIES, CACHE_COPIES = 0.5, 0.3
# Copies of the latents in a step with token budgets, which puts velocities into tiles
# and back. There the channels of a latent are the last axis, padded to `LANES` numbers.
TILED_LATENTS, LANES = 3, 128
# Temporaries of any other program, in units of the operands and result of its largest
# operation.
LARGEST = 2


@dataclass(frozen=True)
class LargestOperations:
    """Bytes of the largest operation of each program besides the denoising step.

    Attributes:
        text: bytes for the text encoder.
        conditions: bytes for the program that makes the steps' conditions.
        decode: bytes for the decoder.
    """

    text: int
    conditions: int
    decode: int

    @classmethod
    def of(cls, run: OutlinedRun) -> "LargestOperations":
        """Traces the programs of a run and finds their largest operations."""
        parts = run.outline.parts
        return cls(
            largest(jax.make_jaxpr(encode)(encoder_of(run), *tokens_of(run.outline))),
            largest(jax.make_jaxpr(run.condition)(parts, run.text)),
            largest(jax.make_jaxpr(run.decode)(parts, run.latents)),
        )


def estimated(
    run: OutlinedRun, sizes: placing.Sizes, operations: LargestOperations
) -> dict[str, ProgramMemory]:
    """The memory of each of a run's programs on one chip of a mesh of these sizes."""
    parts = run.outline.parts
    transformers = sum(placing.weight_bytes(parts[x], sizes) for x in run.resident)
    arrays, keys, caches = run.bytes_over(sizes)
    copies = round(HELD_COPIES * keys + CACHE_COPIES * caches)
    budgets = run.request.token_budgets
    if budgets is not None and budgets.splits:
        copies += TILED_LATENTS * padded_bytes(run.latents, sizes)
    program = lambda size: ProgramMemory(0, LARGEST * size, 0, estimated=True)
    return {
        "text": program(operations.text // sizes["tensor"]),
        "conditions": program(operations.conditions),
        "step": ProgramMemory(
            transformers + arrays, step_bytes(run, sizes) + copies, 0, estimated=True
        ),
        "decode": program(operations.decode),
    }


def encoder_of(run: OutlinedRun) -> Any:
    """The text encoder of a run's model."""
    model: Any = run.model(run.outline.parts)
    return model.prompts.encoder


def step_bytes(run: OutlinedRun, sizes: placing.Sizes) -> int:
    """Bytes of the temporaries of a denoising step's pass on one chip."""
    config: Any = run.outline.parts[TRANSFORMER]
    config = config.config
    f, h, w = run.program.geometry.grid
    width = config.heads * config.head_width
    wide = f * h * w * run.rows // sizes["data"] * width * 2
    keys = 2 * wide // sizes["tensor"]
    own = STREAMS * wide // placing.token_split(sizes)
    return KEY_COPIES * keys + own


def padded_bytes(latents: Any, sizes: placing.Sizes) -> int:
    """Bytes of a chip's share of latents in float32 whose channels are padded."""
    padded = [
        math.prod(x.shape[:-1]) * -(-x.shape[-1] // LANES) * LANES
        for x in jax.tree.leaves(latents)
    ]
    return 4 * sum(padded) // placing.token_split(sizes)


def largest(jaxpr: Any) -> int:
    """Bytes of the operands and the result of the largest operation of a program."""
    return max(_operations(jaxpr.jaxpr), default=0)


def _operations(jaxpr: Any) -> Iterator[int]:
    for equation in jaxpr.eqns:
        inner = list(jaxprs_in_params(equation.params))
        for one in inner:
            yield from _operations(one)
        # A gather reads only a few rows of its table.
        if not inner and equation.primitive.name != "gather":
            shapes = [x.aval for x in (*equation.invars, *equation.outvars)]
            yield sum(x.size * x.dtype.itemsize for x in shapes if hasattr(x, "size"))
