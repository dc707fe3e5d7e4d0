"""Attention in float64, one head of one row at a time, as the kernels' reference."""

import numpy as np
from hypothesis import HealthCheck, Phase, settings

# Few, and not shrunk: an interpreted call takes seconds.
FEW = settings(
    max_examples=3,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.differing_executors],
)


def softmax(query, key, value, offset, gain=None):
    """softmax(gain query key^T / sqrt(d) + offset) value of [n d] and [m d], and the
    logarithm of the sums of weights; zeros and minus infinity without any key."""
    query, key, value, offset = (
        np.asarray(x, np.float64) for x in (query, key, value, offset)
    )
    logits = query @ key.T / np.sqrt(query.shape[-1])
    if gain is not None:
        logits = logits * np.asarray(gain, np.float64)
    logits = logits + offset
    out, total = np.zeros(query.shape), np.full(len(query), -np.inf)
    for i, row in enumerate(logits):
        if np.isfinite(row.max(initial=-np.inf)):
            weights = np.exp(row - row.max())
            out[i] = weights @ value / weights.sum()
            total[i] = row.max() + np.log(weights.sum())
    return out, total


def untouched(found, before, named):
    """All but the named tiles [b k] of [b t ...] are bit for bit what they were."""
    bits = lambda x: np.asarray(x).view(f"u{x.dtype.itemsize}")
    found, before = bits(found), bits(before)
    rest = np.ones(before.shape[:2], bool)
    for row, tiles in zip(rest, np.asarray(named), strict=True):
        row[tiles[tiles >= 0]] = False
    np.testing.assert_array_equal(found[rest], before[rest])


def close(found, want, dtype, scale=1.0):
    """Within rounding of the dtype; `scale` for logits whose own rounding grows."""
    tolerance = {"float32": 2e-5, "bfloat16": 3e-2}[str(np.dtype(dtype))]
    np.testing.assert_allclose(
        np.asarray(found, np.float64), want, atol=tolerance * scale, rtol=0
    )
