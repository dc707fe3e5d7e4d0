"""The run of a request as shapes: its programs with abstract inputs and outputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from tokenizers import Tokenizer as Rules
from tokenizers.models import WordLevel

from chorus_jax.denoise import loop, placement
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import GainTables, Inputs, RunState, SourceLatents
from chorus_jax.engine.plans import planned, within_expert
from chorus_jax.families.outlines import Outline
from chorus_jax.families.protocols import HOST, LoadOptions
from chorus_jax.fit import placing
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request
from chorus_jax.text.prompts import Conditioning, PromptEncoder, Tokenizer, Tokens
from chorus_jax.text.prompts import lengths as token_counts

PAD = "<pad>"
MOST_TOKENS = 2**22  # per video; positions of many more fill the host's memory
GROUPS = 2  # frame groups to decode: the second already has the stream's full state


@dataclass(frozen=True)
class ReuseOptions:
    """Options of reuse that change the memory of a run.

    Attributes:
        active: the share of the tokens in the region steps of a hit; None for a miss.
        cache: the step cache of a miss.
    """

    active: float | None = None
    cache: StepCache = EveryStep()


class GivenText(PromptEncoder):
    """A prompt encoder that returns one given embedding for every prompt."""

    def __init__(self, tokenizer: Tokenizer, row: Array):
        super().__init__(None, tokenizer)
        self.row = row

    def encoded(self, tokens: Tokens, tenant: str = "") -> Conditioning:
        """The given embedding for each prompt."""
        rows = jnp.concatenate([self.row] * len(tokens.ids))
        limit = self.tokenizer.limit
        return Conditioning(rows, token_counts(tokens), limit, tokens.cut)


@dataclass(frozen=True, eq=False)
class OutlinedRun:
    """The programs of a request's run, and the abstract arrays between them.

    Attributes:
        outline: the model without weights.
        request: the request.
        options: the options of loading the model.
        program: the static part of the denoising loop.
        text: the embedding of a prompt.
        inputs: the arrays that the denoising loop reads.
        state: the loop's state between two steps.
    """

    outline: Outline
    request: Request
    options: LoadOptions
    program: Program
    text: Any
    inputs: Inputs
    state: RunState

    def model(self, parts: Mapping[str, Any]) -> Any:
        """The model made of the given parts."""
        return assembled(self.outline, parts, self.options)

    @property
    def latents(self) -> Any:
        """The latents of the request."""
        return self.state.latents

    @property
    def resident(self) -> tuple[str, ...]:
        """The names of the transformers that are on the devices at the same time."""
        names = tuple(self.inputs.models)
        return names[:1] if self.options.idle_expert == HOST else names

    def partitions(self) -> tuple[Inputs, RunState]:
        """The partitions of the inputs without the transformers, and of the state, over
        the mesh in `jax.set_mesh`."""
        read = placing.input_partitions(self.beside)
        return read, placement.partitions(self.program, self.inputs, self.state)

    def bytes_over(self, sizes: placing.Sizes) -> tuple[int, int, int]:
        """Bytes on each device of a mesh of these sizes.

        Returns:
            The bytes of all inputs and state besides the weights and, included in them,
            the bytes of the held keys and of the step caches' states.
        """
        with jax.sharding.use_abstract_mesh(placing.abstract_mesh(sizes)):
            read, carried = self.partitions()
        state = placing.array_bytes(self.state, carried, sizes)
        keys = placing.array_bytes(self.state.keys, carried.keys, sizes)
        caches = placing.array_bytes(self.state.caches, carried.caches, sizes)
        reads = placing.array_bytes(self.beside, read, sizes)
        return reads + state, keys, caches

    @property
    def beside(self) -> Inputs:
        """The inputs without the transformers."""
        return self.inputs._replace(models={})

    @property
    def rows(self) -> int:
        """The number of rows of a forward pass: one per guidance branch."""
        first = self.program.plan.stretches[0].expert

        def rows(inputs: Inputs, latents: Any) -> Array:
            given, step = inputs.conditions[first], jnp.zeros(1, jnp.int32)
            return inputs.models[first].forward(given, latents, step).rows(step)

        return len(jax.eval_shape(rows, self.inputs, self.latents))

    def condition(self, parts: Mapping[str, Any], text: Array) -> Any:
        """The program that makes the conditions of all steps, from text and images."""
        return conditioned(self.model(parts), self.request, text)

    def step(self, inputs: Inputs, state: RunState, until: Array) -> Any:
        """The program of the denoising loop."""
        one = self.resident[0] if self.options.idle_expert == HOST else None
        return loop.advance(inputs, state, until, program=self.program, expert=one)

    def decode(self, parts: Mapping[str, Any], latents: Any) -> list[Array]:
        """The program of the decoder: up to `GROUPS` groups of frames."""
        return list(islice(self.model(parts).decode(latents, [self.request]), GROUPS))


def encode(encoder: Any, ids: Array, mask: Array) -> Array:
    """The program of the text encoder."""
    return encoder(ids, mask)


def tokens_of(outline: Outline) -> tuple[Any, Any]:
    """Abstract token ids and mask of the longest prompt."""
    shape = (1, outline.text_limit)
    return (
        jax.ShapeDtypeStruct(shape, jnp.int32),
        jax.ShapeDtypeStruct(shape, jnp.bool_),
    )


def conditioned(model: Any, request: Request, text: Array) -> Any:
    """The conditions of a request, with a given embedding for its prompts."""
    model.prompts = GivenText(model.prompts.tokenizer, text)
    return model.condition([request])[0]


def assembled(outline: Outline, parts: Mapping[str, Any], options: LoadOptions) -> Any:
    """The model of an outline with the given parts and a minimal tokenizer.

    A `VideoModel` without fingerprints, which abstract weights do not have.
    """
    rules = Rules(WordLevel({PAD: 0}, unk_token=PAD))
    tokenizer = Tokenizer(rules, PAD, outline.text_limit, clean=str.strip)
    return outline.assemble(parts, tokenizer, options)


def with_inputs(request: Request, outline: Outline, image: bool) -> Request:
    """The request with a seed, and with a small grey image if one is needed.

    Args:
        request: the request.
        outline: the model, which may always read an image.
        image: whether the video begins with an image.
    """
    request = replace(request, seed=0)
    if request.inputs is not None or not (image or outline.reads_image):
        return request
    grey = np.full((8, 8, 3), 128, np.uint8)
    last = grey if outline.reads_last_image else None
    return replace(request, inputs=InputMedia(image=grey, last_image=last))


def plan_of(model: Any, request: Request, reuse: ReuseOptions, split: int) -> StepPlan:
    """The plan of a miss, or of a hit whose region is a share of the tokens.

    Args:
        model: gives the experts and the tiles (see `assembled`).
        request: gives the steps and the token budgets.
        reuse: a hit if `reuse.active` is set, else a miss.
        split: the number of devices that the tokens are split over.

    Raises:
        ValueError: for a hit if the default policy has no region steps.
    """
    budgets, experts = request.token_budgets, model.experts(request)
    if reuse.active is None:
        plan = StepPlan.plain(len(experts), cache=reuse.cache, budgets=budgets)
        return plan.with_experts(experts)
    policy = default_policy(len(experts))
    tiers = [tier for tier in policy.tiers if tier.region_until > tier.reuse_until + 1]
    if not tiers:
        raise ValueError(
            f"at {len(experts)} steps the default policy has no region steps: ask for "
            "more steps, or leave the share of active tokens out"
        )
    tier = replace(tiers[0], active=reuse.active)
    tiling = model.geometry(request).tiling
    plan = planned(policy, tier, tiling, split, budgets)
    return within_expert(plan, experts).with_experts(experts)


def outlined_run(
    outline: Outline,
    request: Request,
    reuse: ReuseOptions = ReuseOptions(),
    options: LoadOptions = LoadOptions(),
    split: int = 1,
) -> OutlinedRun:
    """The run of a request, in shapes only: nothing is computed.

    Args:
        outline: the model without weights.
        request: the request.
        reuse: options of reuse that change the run's memory.
        options: the options of loading the model, such as its mesh.
        split: the number of devices that tokens are split over.

    Raises:
        ValueError: for what the model refuses, for a video of too many tokens, and for
            a hit if the default policy has no region steps.
    """
    model: Any = assembled(outline, outline.parts, options)
    asked = request
    if reuse.cache != EveryStep():
        # Raises for step caches measured for other steps or another model.
        asked = replace(request, step_cache=reuse.cache)
    geometry, solver = model.geometry(asked), model.solver(request)
    if math.prod(geometry.grid) > MOST_TOKENS:
        raise ValueError(
            f"a video of {request.height}x{request.width}x{request.frames} has "
            f"{math.prod(geometry.grid)} tokens, and at most {MOST_TOKENS} are "
            "answered for: give a smaller size"
        )
    program = Program(plan_of(model, request, reuse, split), solver, geometry)
    text = jax.eval_shape(encode, model.prompts.encoder, *tokens_of(outline))
    condition = lambda parts, text: conditioned(
        assembled(outline, parts, options), request, text
    )
    conditions = jax.eval_shape(condition, outline.parts, text)
    single: Any = lambda shape: jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    latents = geometry.latents({name: single(x) for name, x in geometry.streams})
    inputs = Inputs(model.transformers, conditions)
    if solver.stochastic:
        seeds: Any = jax.ShapeDtypeStruct((1,), jnp.uint32)
        inputs = inputs._replace(seeds=seeds)
    if options.idle_expert == HOST and len(inputs.models) == 1:
        raise ValueError("this model has one transformer, and no idle expert")
    if reuse.active is not None:
        words = jax.eval_shape(model.text_values, conditions).shape[1]
        inputs = of_a_hit(inputs, latents, program.plan.steps, words)
    begin = lambda inputs, latents: loop.start(inputs, latents, program=program)
    state = jax.eval_shape(begin, inputs, latents)
    return OutlinedRun(outline, request, options, program, text, inputs, state)


def of_a_hit(inputs: Inputs, latents: Any, steps: int, words: int) -> Inputs:
    """The inputs with the further arrays of a hit: source latents, gains, words.

    Args:
        inputs: the inputs of a miss.
        latents: the abstract latents of the request.
        steps: the number of steps.
        words: the number of text tokens.
    """
    single: Any = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    return inputs._replace(
        source=SourceLatents(latents, latents, latents),
        gains=GainTables(single(steps, 1, words), single(steps, 1)),
        words=single(1, words),
    )
