"""Noise levels of LTX-2.

Source: Lightricks/LTX-2, packages/ltx-core and ltx-pipelines; diffusers'
FlowMatchEulerDiscreteScheduler with the settings of its published folders.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from chorus_jax.families.ltx_shared.scheduler_file import SchedulerFile
from chorus_jax.schedulers.token_shift import TokenShift

# Of the distilled model; 0 follows the last one.
DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)


# Of its second pass, over a video that a latent upsampler enlarged.
SECOND_PASS = DISTILLED[5:]


@dataclass(frozen=True)
class FixedShift:
    """Noise levels shifted as for the largest token count, whatever the video's own.

    The makers' one- and two-stage pipelines do this; diffusers uses the video's token
    count, as `TokenShift` does.

    Attributes:
        shift: the shift as a function of the number of tokens.
    """

    shift: TokenShift = TokenShift()

    def sigmas(
        self, steps: int, tokens: int, shift: float = 1.0
    ) -> Float32[np.ndarray, " steps"]:
        """The noise levels of all steps (see `TokenShift.sigmas`); `tokens` is
        ignored."""
        return self.shift.sigmas(steps, self.shift.tokens[1], shift)


def schedule_of(scheduler: Mapping[str, Any] | None) -> FixedShift:
    """The noise levels that a folder's scheduler_config.json describes; the published
    ones without such a file.

    Raises:
        ValueError: for a scheduler that is not supported.
    """
    if scheduler is None:
        return FixedShift()
    file = SchedulerFile.read(scheduler)
    if file.dynamic:
        return FixedShift(TokenShift.stored(scheduler))
    return FixedShift(TokenShift(shifts=(0.0, 0.0), terminal=file.terminal))
