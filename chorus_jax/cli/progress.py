"""Progress bars, drawn from the events of an engine or a pipeline."""

from tqdm import tqdm

from chorus_jax.engine import Event, Progress

UNITS = {"encode": "prompt", "denoise": "step", "decode": "group"}


class Bars:
    """An observer of events that draws one progress bar per stage.

    Bars are drawn on the standard error if it is a terminal, and never if `shown` is
    False.
    """

    def __init__(self, shown: bool = True):
        # With None tqdm draws on a terminal only.
        self.disable = None if shown else True
        self.stage, self.bar = "", None

    def __call__(self, event: Event) -> None:
        """Draws the progress of a stage; ignores other events."""
        if not isinstance(event, Progress):
            return
        if event.stage != self.stage:
            self.close()
            self.stage, unit = event.stage, UNITS[event.stage]
            self.bar = tqdm(
                total=event.total, desc=event.stage, unit=unit, disable=self.disable
            )
        if self.bar is not None:
            self.bar.update(event.done - self.bar.n)

    def close(self) -> None:
        """Closes the current bar, if there is one."""
        if self.bar is not None:
            self.bar.close()
        self.stage, self.bar = "", None
