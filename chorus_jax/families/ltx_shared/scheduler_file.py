"""Settings in the scheduler_config.json of an LTX-Video or LTX-2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chorus_jax.schedulers import stored
from chorus_jax.schedulers.token_shift import terminal_of

CLASS = "FlowMatchEulerDiscreteScheduler"
# Fields that the noise levels of the families are made from.
DYNAMIC, TERMINAL = "use_dynamic_shifting", "shift_terminal"


@dataclass(frozen=True)
class SchedulerFile:
    """The settings in a scheduler file.

    Attributes:
        dynamic: whether the shift of the levels depends on the number of tokens.
        terminal: the last level before 0, to which the levels are stretched; None for
            no stretching.
        chosen: the fields of a request that the file sets: `solver` if it is not
            Euler's, and the `shift` of levels that no number of tokens shifts.
    """

    dynamic: bool
    terminal: float | None
    chosen: Mapping[str, Any]

    @classmethod
    def read(cls, scheduler: Mapping[str, Any]) -> "SchedulerFile":
        """Reads the content of a scheduler_config.json.

        Raises:
            ValueError: for another class than `CLASS`, and for fields with values that
                are not supported.
        """
        name, dynamic = scheduler.get("_class_name"), bool(scheduler.get(DYNAMIC))
        if name != CLASS:
            raise ValueError(
                f"the scheduler file says {name}, which is not run with the noise "
                f"levels of LTX: supported is {CLASS}. {stored.ADVICE}"
            )
        kind = scheduler.get("time_shift_type", "exponential")
        if dynamic and kind != "exponential":
            raise ValueError(
                f"the scheduler file says time_shift_type={kind!r}: supported is "
                f"'exponential'. {stored.ADVICE}"
            )
        others = {k: v for k, v in scheduler.items() if k not in (DYNAMIC, TERMINAL)}
        chosen = stored.read(others)
        if chosen["solver"] == "euler":  # so that the makers' own solver stays
            del chosen["solver"]
        if dynamic:  # as in diffusers, in place of the constant shift
            chosen.pop("shift", None)
        return cls(dynamic, terminal_of(scheduler), chosen)
