"""The grain of branches: what is kept and forecast per layer and branch."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from chorus_jax.families.forward import Held
from chorus_jax.intra_request.grains import named_grain
from chorus_jax.intra_request.history import History
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.nets.control import PerLayer
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import FakeForward

LAYERS, NAMES = 3, ("self_attention", "mlp")


@dataclass(frozen=True, eq=False)
class Branched(FakeForward):
    """Every branch puts out its layer's number times the step's."""

    layers = LAYERS
    branch_names = NAMES
    needed_branches = (False,) * len(NAMES)

    def unknown_branches(self):
        return (jnp.zeros((LAYERS, self.passes * len(self.i), 2, 1)),) * len(NAMES)

    def blocks(self, tokens, first=0, last=None, reuse=None):
        step = self.rows(self.i).astype(jnp.float32)
        now = jnp.arange(LAYERS, dtype=step.dtype)[:, None] * step[None]
        outputs = tuple(
            jnp.where(wanted[:, :, None, None], now[:, :, None, None], earlier)
            for wanted, earlier in zip(jnp.moveaxis(reuse.compute, 1, 0), reuse.outputs)
        )
        return tokens + sum(x.sum(axis=(0, 2, 3))[:, None] for x in outputs), outputs

    def branches(self, sides):
        return sides

    def hold(self, held, *sides):
        return held


def test_every_layer_is_forecast_by_its_own_line():
    """Two branches of three layers with two tokens give 12 i beside the stem's i."""
    cache, schedule = TaylorSeer(3, first=2, grain="branches"), Euler.spaced(8).schedule
    state = cache.init(Branched(jnp.zeros(1, jnp.int32), passes=2))
    outputs = []
    for i in range(8):
        forward = Branched(jnp.full(1, i), passes=2)
        out, _, state, work = cache.step(forward.i, schedule, forward, Held(), state)
        outputs.append((float(out[0, 0]), float(work[0])))
    want = [(13.0 * i, float(i in (0, 1, 4, 7))) for i in range(8)]
    np.testing.assert_allclose(outputs, want, rtol=1e-6)
    assert [x.shape for x in state.values[0].arrays] == [(LAYERS, 2, 2, 1)] * len(NAMES)


def test_values_per_layer_are_weighted_by_row():
    value = lambda x: PerLayer((jnp.full((LAYERS, 2, 4), x),))
    past = History((value(2.0), value(1.0)), jnp.array([[3, 1], [3, 1]]))
    weights = jnp.array([[1.0, 0.0], [2.0, -1.0]])
    [total] = past.combined(weights).arrays
    assert total[:, 0].tolist() == [[2.0] * 4] * LAYERS
    assert total[:, 1].tolist() == [[3.0] * 4] * LAYERS
    want = np.sqrt([4.0 * 4 * LAYERS, 9.0 * 4 * LAYERS])
    np.testing.assert_allclose(past.norm(weights), want, rtol=1e-6)


def test_rows_of_branches_are_those_of_the_pass():
    forward = Branched(jnp.zeros(2, jnp.int32), passes=2)
    assert named_grain("branches").rows(forward, jnp.arange(2)).tolist() == [0, 1, 0, 1]
