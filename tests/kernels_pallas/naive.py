"""Attention in float64, one head of one row at a time: what the kernels are held to."""

import numpy as np
from hypothesis import HealthCheck, Phase, settings

# Few, and not shrunk: an interpreted call takes seconds.
FEW = settings(
    max_examples=4,
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


def close(found, want, dtype, scale=1.0):
    """Within rounding of the dtype; `scale` for logits whose own rounding grows."""
    tolerance = {"float32": 2e-5, "bfloat16": 3e-2}[str(np.dtype(dtype))]
    np.testing.assert_allclose(
        np.asarray(found, np.float64), want, atol=tolerance * scale, rtol=0
    )
