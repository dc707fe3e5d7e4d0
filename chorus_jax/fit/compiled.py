"""Compiles the programs of a run for a topology, and reads the memory each takes."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from chorus_jax.fit import placing
from chorus_jax.fit.run import OutlinedRun, encode, tokens_of

GIB = 2**30
# The compiler's messages on a program that is too large: temporaries alone, or all.
TEMPORARIES = re.compile(r"HLO temporaries \(([\d.]+)([KMG])\)")
USED = re.compile(r"Used ([\d.]+)([KMG]) of ([\d.]+)([KMG]) hbm")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class ProgramMemory:
    """The memory of a program on one chip, in bytes.

    Attributes:
        arguments: bytes of its arguments; 0 if unknown.
        temporary: bytes of its temporaries.
        outputs: bytes of its outputs, except those that reuse its arguments' memory.
        compiled: False if it is too large for a chip: the compiler then gives a lower
            bound only.
        estimated: whether this is an estimate, without compiling.
        kernels: the number of calls of Pallas kernels.
        seconds: the seconds that compiling took.
    """

    arguments: int
    temporary: int
    outputs: int
    compiled: bool = True
    estimated: bool = False
    kernels: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.arguments + self.temporary + self.outputs


@dataclass(frozen=True, eq=False)
class OutlinedProgram:
    """A program to compile.

    Attributes:
        function: the function.
        arguments: its abstract arguments, with shardings.
        donated: the places of the arguments whose memory the results take over, as they
            do in a run.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    donated: tuple[int, ...] = ()


def programs(run: OutlinedRun, mesh: Mesh) -> dict[str, OutlinedProgram]:
    """The programs of a run, with abstract arguments that are sharded over a mesh.

    The mesh must be set (`jax.set_mesh`) while they are traced.
    """
    parts = {name: placing.weights(x, mesh) for name, x in run.outline.parts.items()}
    model: Any = run.model(parts)
    spread = lambda tree: placing.replicated(tree, mesh)
    read, carried = run.partitions()
    there = {name: model.transformers[name] for name in run.resident}
    inputs = placing.arrays(run.beside, read, mesh)._replace(models=there)
    state = placing.arrays(run.state, carried, mesh)
    encoder = model.prompts.encoder
    until = spread(jax.ShapeDtypeStruct((1,), jnp.int32))
    return {
        "text": OutlinedProgram(encode, (encoder, *spread(tokens_of(run.outline)))),
        "conditions": OutlinedProgram(run.condition, (parts, spread(run.text))),
        # Donations in a jitted function inside the compiled program have no effect.
        "step": OutlinedProgram(run.step, (inputs, state, until), donated=(1,)),
        "decode": OutlinedProgram(run.decode, (parts, spread(run.latents))),
    }


def compile_program(program: OutlinedProgram, mesh: Mesh) -> ProgramMemory:
    """Compiles a program for the devices of a mesh; returns the memory it takes."""
    began = time.perf_counter()
    with jax.set_mesh(mesh):
        jitted = jax.jit(program.function, donate_argnums=program.donated)
        traced = jitted.trace(*program.arguments)
        lowered = traced.lower(lowering_platforms=("tpu",))
        kernels = lowered.as_text().count("tpu_custom_call")
        try:
            memory = lowered.compile().memory_analysis()
        except jax.errors.JaxRuntimeError as error:
            return replace(
                beyond(str(error), error),
                kernels=kernels,
                seconds=time.perf_counter() - began,
            )
    return ProgramMemory(
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes - memory.alias_size_in_bytes,
        kernels=kernels,
        seconds=time.perf_counter() - began,
    )


def beyond(message: str, error: Exception) -> ProgramMemory:
    """Reads a lower bound of a program's memory from the compiler's error message.

    Args:
        message: the message.
        error: the exception, raised again if the message is about anything else.
    """
    temporaries, used = TEMPORARIES.search(message), USED.search(message)
    if used is not None:
        return ProgramMemory(0, round(float(used[1]) * UNITS[used[2]]), 0, False)
    if temporaries is not None:
        size = float(temporaries[1]) * UNITS[temporaries[2]]
        return ProgramMemory(0, round(size), 0, False)
    raise error
