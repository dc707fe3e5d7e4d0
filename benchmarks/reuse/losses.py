"""The figures whose losses are reported in rows, and the limits of these losses."""

from chorus_jax.calibration.losses import LossLimits

RELIABLE = ("accuracy_reliable", "changed_reliable")  # see `scores.of_reliable`
# The most that hits of a calibrated policy may lose (see `benchmarks.calibrate`), in
# each tier and over all hits: for detail a share, for accuracy a difference.
ALLOWED = {
    "accuracy_reliable": 0.03,
    "changed_reliable": 0.03,
    "accuracy_changed": 0.03,
    "detail": 0.04,
}
OVERALL = {
    "accuracy_reliable": 0.01,
    "changed_reliable": 0.01,
    "accuracy_changed": 0.01,
    "detail": 0.02,
}
RELATIVE = frozenset({"detail"})
LIMITS = LossLimits(ALLOWED, RELATIVE, OVERALL)
# A search takes the luckiest of many policies: where it allows one harmful hit in a
# hundred, the policy does harm in two on other targets. So it allows half of that.
_halved = lambda limits: {
    figure: most if figure in RELATIVE else 0.5 * most
    for figure, most in limits.items()
}
SEARCHED = LossLimits(_halved(ALLOWED), RELATIVE, _halved(OVERALL))
# Rows also have the accuracy of all attributes, which has no limit.
REPORTED = LossLimits({"accuracy": 1.0, **ALLOWED}, RELATIVE)
