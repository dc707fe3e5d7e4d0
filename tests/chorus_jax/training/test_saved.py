"""Training states on disk, and what killed processes leave of them."""

import jax.numpy as jnp
import numpy as np

from chorus_jax.checkpoints import aside
from chorus_jax.checkpoints.folder import partial_folder
from chorus_jax.training import saved

STATE = {"step": jnp.int32(3), "kernel": jnp.arange(4.0)}


def test_a_state_comes_back(tmp_path):
    path = saved.save(tmp_path, STATE, 3)
    again = saved.restore(path, STATE)
    np.testing.assert_array_equal(again["kernel"], STATE["kernel"])


def test_states_that_killed_processes_left_are_removed(tmp_path):
    """A resumed run saves at other steps, so it would never write these again."""
    for step in (5, 9):
        left = partial_folder(tmp_path / f"step-{step:07d}")
        (left / "state").mkdir(parents=True)
    with aside(tmp_path / "step-0000007") as writing:
        (writing / "state").mkdir()
        saved.save(tmp_path, STATE, 3)
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"step-0000003", writing.name}
    saved.save(tmp_path, STATE, 3)
    assert {path.name for path in tmp_path.iterdir()} == {
        "step-0000003",
        "step-0000007",
    }
