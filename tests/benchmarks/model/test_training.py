"""The curve of a training: rows of one run's states, in the order of its clips."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks.lib import plot, rows
from benchmarks.model import tables
from benchmarks.model.training import excess
from chorus_jax.training.world.attributes import VALUES


@pytest.fixture
def measured(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    monkeypatch.setattr(plot, "RESULTS", tmp_path)
    monkeypatch.setattr(rows, "commit", lambda: "abc")
    scores = {f"accuracy_{name}": 0.5 for name in VALUES} | {"accuracy": 0.1}
    found = [
        {
            **{"row": f"clips {clips}", "clips": clips, "prompts": 4, **scores},
            **{"render_db": 20.0 + clips / 1e5, "detail": 0.8, "excess": 2.0},
        }
        for clips in (200_000, 50_000)
    ]
    rows.update("training", found)
    return found


def test_the_table_is_in_the_order_of_the_clips(measured):
    table = tables.training(rows.load("training"))
    assert table.index("50000") < table.index("200000")


def test_the_figure_is_drawn(measured, tmp_path):
    plot.training()
    assert np.asarray(Image.open(tmp_path / "training.png")).std() > 0


def test_errors_of_texture_alone_have_no_excess():
    class Job:
        """Whose error is white noise, with a part that is the same everywhere."""

        class batch:
            attributes = [()]
            caption = staticmethod(lambda clip, rng: "")
            captioned = staticmethod(lambda clips, captions, rng: len(captions))

        def __init__(self, common):
            self.common = common

        def forward(self, params, batch, levels, key):
            noise = np.random.default_rng(0).normal(size=(batch, 2, 16, 16, 8))
            error = jnp.asarray(noise + self.common, jnp.float32)
            return type("Forward", (), {"error": error})

    assert excess(Job(0.0), {}) == pytest.approx(1, abs=0.03)
    assert excess(Job(1.0), {}) == pytest.approx((1 + 16) / 2, abs=0.2)
