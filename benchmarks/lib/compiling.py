"""Counts what is compiled while something runs, so that its time can be left out."""

import jax.monitoring

COMPILED = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Counts the programs that jax compiled, or read compiled, since it was made.

    Listeners of jax stay for good: make one, not one for each request.
    """

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        self.count += event == COMPILED
