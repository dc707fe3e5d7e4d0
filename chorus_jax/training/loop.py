"""The training loop: steps, logs and checkpoints, for any model.

A step is a function of the state and its number: batches and random numbers are drawn
from the seed and the step alone. A run that was stopped and resumed therefore gives the
same bytes as an uninterrupted run on the same number of devices.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from chorus_jax.devices import sharding
from chorus_jax.training import curve, saved
from chorus_jax.training.deadline import Deadline
from chorus_jax.training.params import Params
from chorus_jax.training.plan import TrainingPlan

Batch = Any
Figures = dict[str, Array]
Share = float | Float[Array, ""]
T = TypeVar("T")

AHEAD = 32  # batches made ahead, so that a pool of processes has work


class State(NamedTuple):
    """The state of a training: a pytree of arrays.

    Attributes:
        step: the number of steps taken.
        params: the parameters, by name.
        average: their exponential moving average, by name.
        optimizer: the optimizer's state.
    """

    step: Int[Array, ""]
    params: Params
    average: Params
    optimizer: Any


@runtime_checkable
class TrainingJob(Protocol):
    """A model to train: its initial parameters, its batches and its loss."""

    @property
    def batch(self) -> Callable[[int], Batch]:
        """Makes the batch of a step; called in another thread or process."""

    def initial(self) -> Params:
        """The parameters before the first step."""

    def loss(
        self, params: Params, batch: Batch, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """The loss and other figures of a step."""

    def probe(self, params: Params) -> dict[str, float]:
        """Figures of the averaged parameters, taken with every checkpoint."""


def train(
    job: TrainingJob,
    plan: TrainingPlan,
    folder: Path,
    executor: Executor,
    save_minutes: float = 5.0,
    deadline: Deadline | None = None,
) -> State:
    """Trains to the end of the plan, from the newest checkpoint in `folder` if any.

    Writes checkpoints, `loss.jsonl` (one row per step), `probe.jsonl` and `loss.png`
    into `folder`. A deadline may end the training earlier; then the result depends on
    the machine's speed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = saved.newest(folder, partial(start, job, plan))
    first = int(state.step)
    log, probes = curve.Log(folder / "loss.jsonl"), curve.Log(folder / "probe.jsonl")
    log.cut(first)
    probes.cut(first)

    def keep(state: State) -> None:
        saved.save(folder, state, int(state.step))
        probes.add(int(state.step), job.probe(state.average))
        curve.draw(log.path, folder / "loss.png")

    last_save = time.monotonic()
    for state, row in rows(job, plan, state, executor, deadline):
        log.add(int(state.step), row)
        if time.monotonic() - last_save > 60 * save_minutes:
            keep(state)
            last_save = time.monotonic()
    if first < plan.steps:
        keep(state)
    return state


def start(job: TrainingJob, plan: TrainingPlan) -> State:
    """The state before the first step."""
    return initial_state(job.initial(), plan)


def initial_state(params: Params, plan: TrainingPlan) -> State:
    """The state before the first step from these parameters."""
    # Copies: the state is donated to every step, and nothing may be donated twice.
    average = jax.tree.map(jnp.copy, params)
    return State(jnp.int32(0), params, average, plan.optimizer().init(params))


def rows(
    job: TrainingJob,
    plan: TrainingPlan,
    state: State,
    executor: Executor,
    deadline: Deadline | None = None,
) -> Iterator[tuple[State, dict[str, float]]]:
    """Runs the remaining steps; yields each state with its figures.

    A batch is split over as many devices as divide it.
    """
    step, first, mesh = step_function(job, plan), int(state.step), data_mesh(plan)
    state = replicated(state, mesh)
    bar = tqdm(total=plan.steps, initial=first, unit="step", mininterval=2)
    with bar:
        for batch in prefetched(job.batch, first, plan.steps, executor):
            share = 1.0 if deadline is None else deadline.rate()
            if share <= 0:
                break
            began = time.perf_counter()
            with using(mesh):
                state, figures = step(state, split(batch, mesh), share)
            row = {name: float(x) for name, x in figures.items()}
            if not row["loss"] < float("inf"):
                raise ValueError(
                    f"the loss is {row['loss']} at step {int(state.step)}: resume "
                    "from the last checkpoint with a lower learning rate"
                )
            row["seconds"] = round(time.perf_counter() - began, 4)
            bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
            bar.update()
            yield state, row


def data_mesh(plan: TrainingPlan) -> Mesh | None:
    """The mesh of devices that share a batch; None for a single device."""
    count = math.gcd(plan.batch, jax.device_count())
    if count == 1:
        return None
    return sharding.make_mesh(data=count, devices=jax.devices()[:count])


def using(mesh: Mesh | None) -> AbstractContextManager:
    """A context that sets the mesh, if there is one."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def replicated(state: State, mesh: Mesh | None) -> State:
    """The state with a copy on each device of the mesh, as a step returns it.

    Without this, the second step would be compiled anew.
    """
    if mesh is None:
        return state
    return jax.device_put(state, NamedSharding(mesh, PartitionSpec()))


def split(batch: Batch, mesh: Mesh | None) -> Batch:
    """The batch with its rows distributed over the mesh."""
    if mesh is None:
        return batch
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))


def step_function(
    job: TrainingJob, plan: TrainingPlan
) -> Callable[[State, Batch, Share], tuple[State, dict]]:
    """The jitted training step, which takes the state, a batch and a share.

    The state is donated. The share is a factor of the plan's learning rate.
    """
    optimizer = plan.optimizer()

    def step(state: State, batch: Batch, share: Share) -> tuple[State, Figures]:
        key = jax.random.fold_in(jax.random.key(plan.seed), state.step)
        (loss, figures), gradients = jax.value_and_grad(job.loss, has_aux=True)(
            state.params, batch, key
        )
        # optax promotes its integer counters to floats.
        with jax.numpy_dtype_promotion("standard"):
            updates, inner = optimizer.update(gradients, state.optimizer, state.params)
        updates = jax.tree.map(lambda x: share * x, updates)
        params: Any = optax.apply_updates(state.params, updates)
        at = state.step.astype(jnp.float32)
        decay = jnp.minimum(plan.average, (1 + at) / (10 + at))
        average = jax.tree.map(lambda a, p: p + decay * (a - p), state.average, params)
        norm = optax.tree.norm(gradients)
        after = State(state.step + 1, params, average, inner)
        return after, {"loss": loss, **figures, "norm": norm}

    return jax.jit(step, donate_argnums=0)


def prefetched(
    make: Callable[[int], T], first: int, last: int, executor: Executor
) -> Iterator[T]:
    """Yields `make(i)` for `first` to `last` (exclusive), up to `AHEAD` made ahead."""
    waiting: deque[Future] = deque()
    try:
        for i in range(first, last + AHEAD):
            if i < last:
                waiting.append(executor.submit(make, i))
            if i >= first + AHEAD:
                yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
