"""The loop on a model of four numbers: it learns, and resumes to the same bytes."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.training import loop, saved
from chorus_jax.training.curve import Log
from chorus_jax.training.loop import prefetched, train
from chorus_jax.training.plan import TrainingPlan

PLAN = TrainingPlan(steps=8, batch=4, learning_rate=0.05, warmup=2)
RIGHT = np.array([[1.0, 2.0], [-1.0, 0.5]], np.float32)


@dataclass(frozen=True)
class Fit:
    """Finds a matrix from noisy products; `broken` is a step without a batch."""

    broken: int | None = None

    def initial(self):
        return {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}

    def batch(self, step):
        if step == self.broken:
            raise InterruptedError("stopped")
        x = np.random.default_rng((0, step)).normal(size=(4, 2)).astype(np.float32)
        return x, x @ RIGHT

    def loss(self, params, batch, key):
        x, y = batch
        noise = 0.01 * jax.random.normal(key, y.shape)
        error = x @ params["kernel"] + params["bias"][None] + noise - y
        return jnp.square(error).mean(), {}

    def probe(self, params):
        return {"largest": float(jnp.abs(params["kernel"]).max())}


def run(job, folder, **options):
    with ThreadPoolExecutor(1) as executor:
        return train(job, PLAN, folder, executor, **options)


def bytes_of(state):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(state)]


@pytest.mark.parametrize("broken", [1, 5])
def test_resuming_gives_the_same_bytes(tmp_path, broken):
    whole = run(Fit(), tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(Fit(broken), tmp_path / "parts", save_minutes=0.0)
    assert Log(tmp_path / "parts" / "loss.jsonl").rows()[-1]["step"] == broken
    parts = run(Fit(), tmp_path / "parts")
    assert bytes_of(parts) == bytes_of(whole)
    logs = [Log(tmp_path / name / "loss.jsonl").rows() for name in ("whole", "parts")]
    for log in logs:
        for row in log:
            del row["seconds"]
    assert logs[0] == logs[1]


def test_the_step_is_compiled_once(tmp_path):
    traced = []

    class Counted(Fit):
        def loss(self, *given):
            traced.append(given)
            return super().loss(*given)

    assert loop.data_mesh(PLAN) is not None
    run(Counted(), tmp_path / "whole")
    assert len(traced) == 1
    with pytest.raises(InterruptedError):
        run(Fit(broken=5), tmp_path / "parts", save_minutes=0.0)
    run(Counted(), tmp_path / "parts")
    assert len(traced) == 2


def test_a_batch_is_split_over_the_devices_that_divide_it(tmp_path, monkeypatch):
    mesh = loop.data_mesh(PLAN)
    assert mesh.shape["data"] == 4
    x, _ = loop.split(Fit().batch(0), mesh)
    assert {shard.data.shape for shard in x.addressable_shards} == {(1, 2)}
    assert loop.data_mesh(dataclasses.replace(PLAN, batch=3)) is None
    split = run(Fit(), tmp_path / "split")
    monkeypatch.setattr(loop, "data_mesh", lambda plan: None)
    alone = run(Fit(), tmp_path / "alone")
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, split.params, alone.params)


def test_it_learns_and_the_average_follows(tmp_path):
    state = run(Fit(), tmp_path)
    losses = [row["loss"] for row in Log(tmp_path / "loss.jsonl").rows()]
    assert len(losses) == 8 and losses[-1] < losses[0]
    kernel, average = (np.abs(p["kernel"]).sum() for p in (state.params, state.average))
    assert 0 < average < kernel


def test_old_states_are_removed(tmp_path):
    run(Fit(), tmp_path, save_minutes=0.0)
    assert [path.name for path in saved.steps(tmp_path)] == [
        "step-0000007",
        "step-0000008",
    ]


def test_a_state_of_another_model_is_refused(tmp_path):
    run(Fit(), tmp_path)
    with pytest.raises(ValueError, match="another model"):
        saved.newest(tmp_path, lambda: {"kernel": jnp.zeros(3)})


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    class Broken(Fit):
        def loss(self, params, batch, key):
            return super().loss(params, batch, key)[0] * jnp.nan, {}

    with pytest.raises(ValueError, match="lower learning rate"):
        run(Broken(), tmp_path)


def test_prefetched_keeps_the_order():
    with ThreadPoolExecutor(3) as executor:
        assert list(prefetched(lambda i: i * i, 2, 50, executor)) == [
            i * i for i in range(2, 50)
        ]
