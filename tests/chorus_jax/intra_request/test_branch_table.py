"""Tables of branches that do not fit a run."""

import pytest

from chorus_jax.intra_request.bac import BAC
from chorus_jax.intra_request.harmonica import HarmoniCa
from chorus_jax.schedulers import Euler

SCHEDULE, NAMES = Euler.spaced(4, 3.0).schedule, ("attention", "feed_forward")
UPDATES = ((0, 2), (0,))


@pytest.mark.parametrize(
    ("cache", "shape"),
    [
        (HarmoniCa((((0.5, 0.5),) * 3,) * 5), r"\(5, 3, 2\)"),
        (BAC((UPDATES,) * 2), r"\(4, 2, 2\)"),
        (BAC((UPDATES,) * 3, of=5), r"\(5, 3, 2\)"),
        (BAC((UPDATES, UPDATES, ((0,),))), r"\(4, 3, 1, 2\)"),
    ],
)
def test_a_table_of_another_shape_is_refused(cache, shape):
    with pytest.raises(ValueError, match=shape + r", the run has \(4, 3, 2\)"):
        cache.table(SCHEDULE, 3, NAMES)


def test_a_table_that_fits_is_taken():
    table = BAC((UPDATES,) * 3).table(SCHEDULE, 3, NAMES)
    assert table[:, 0].T.tolist() == [[1, 0, 1, 0], [1, 0, 0, 0]]
