"""Progress bars, drawn from the events of an engine or a pipeline."""

from tqdm import tqdm

from chorus_jax.engine import Event, Progress

UNITS = {"encode": "prompt", "denoise": "step", "decode": "group"}


class Bars:
    """One bar per stage on the standard error, nothing without a terminal.

    An observer of events. `shown` False draws nothing anywhere.
    """

    def __init__(self, shown: bool = True):
        # None: tqdm looks for a terminal.
        self.disable = None if shown else True
        self.stage, self.bar = "", None

    def __call__(self, event: Event) -> None:
        """Draws how far a stage is."""
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
        """Ends the bar that is drawn."""
        if self.bar is not None:
            self.bar.close()
        self.stage, self.bar = "", None
