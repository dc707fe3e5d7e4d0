"""Counts compilations during a run, so that it can be left out of timings."""

import jax.monitoring

COMPILED = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Counts the programs that jax compiles or loads from its cache from now on.

    jax cannot remove its listeners, so make one counter, not one per request.
    """

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        self.count += event == COMPILED
