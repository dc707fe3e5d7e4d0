"""Clips in a bank: their attributes, captions, and dropped captions."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from chorus_jax.training import saved
from chorus_jax.training.deadline import Deadline
from chorus_jax.training.device.bank import chosen
from chorus_jax.training.device.runs import DeviceRuns
from chorus_jax.training.device.wordings import askable
from chorus_jax.training.loop import start
from chorus_jax.training.naming import UNKNOWN, labels
from chorus_jax.training.world.chances import LARGE


@pytest.fixture(scope="module")
def runs(recipe, tmp_path_factory):
    plan = replace(recipe.train_flow.plan, steps=10**6)
    flow = replace(recipe.train_flow, plan=plan, clips=12)
    one = replace(recipe, pairs=0.0, train_flow=flow)
    runs = DeviceRuns(one, tmp_path_factory.mktemp("runs"), wordings=2, at_once=6)
    # As good a VAE as any here: to compile a training step takes long.
    plan = recipe.train_vae.plan
    saved.save(runs.folder / "vae", start(runs.vae_job(), plan), 0)
    runs.encode()
    return runs


def test_clips_are_as_asked(runs):
    bank, wordings = runs.filled
    assert bank.latents.shape == (12, 3, 24, 24, 3)
    assert len({row.tobytes() for row in np.asarray(bank.latents)}) == 12
    asked = np.asarray(wordings.labels)[np.asarray(bank.attributes)]
    large = np.asarray(bank.chances)[:, LARGE]
    said = asked[:, 2] != UNKNOWN
    np.testing.assert_array_equal(large[said], asked[said, 2])
    np.testing.assert_array_equal(
        wordings.labels, labels([(each,) for each in askable()])
    )


def test_captions_say_what_clips_show(runs):
    bank, wordings = runs.filled
    shares = runs.flow_job().batch.shares
    batch = chosen(bank, shares, wordings, jax.random.key(0), 64, 0.5)
    rows = [[tuple(ids) for ids in each] for each in np.asarray(wordings.ids).tolist()]
    empty = tuple(np.asarray(wordings.empty_ids).tolist())
    dropped = 0
    for ids, named in zip(np.asarray(batch.ids).tolist(), np.asarray(batch.labels)):
        if tuple(ids) == empty:
            dropped += 1
            assert (named == UNKNOWN).all()
            continue
        asked = np.flatnonzero((np.asarray(wordings.labels) == named).all(axis=1))
        assert any(tuple(ids) in rows[row] for row in asked)
    assert 15 < dropped < 50


def test_clips_are_drawn_as_often_as_their_shares(runs):
    bank, wordings = runs.filled
    shares = np.zeros(12, np.float32)
    shares[[3, 7]] = 0.25, 0.75
    batch = chosen(bank, shares, wordings, jax.random.key(0), 400, 0.0)
    drawn = [
        (np.asarray(bank.latents)[i] == np.asarray(batch.latents)).all((1, 2, 3, 4))
        for i in (3, 7)
    ]
    assert (drawn[0] | drawn[1]).all()
    assert abs(drawn[1].mean() - 0.75) < 0.1


def test_batches_are_those_of_their_step(runs):
    batches = runs.flow_job().batch
    first, again, other = batches(3), batches(3), batches(4)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert (np.asarray(first.components) != np.asarray(other.components)).any()


class Soon(Deadline):
    """A deadline after two steps, whatever they take."""

    rates = iter((1.0, 0.5, 0.0))

    def rate(self) -> float:
        return next(self.rates)


@pytest.mark.slow
def test_it_trains_until_its_deadline(runs):
    runs.flow(Soon(1.0))
    folder = runs.folder / "flow"
    assert (folder / "loss.jsonl").read_text().count("\n") == 2
    assert (folder / "probe.jsonl").read_text().count("right_0.5") == 1


def test_two_objects_are_refused(recipe, tmp_path):
    with pytest.raises(ValueError, match="set pairs to 0"):
        DeviceRuns(replace(recipe, pairs=0.2), tmp_path)
