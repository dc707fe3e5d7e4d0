"""A progress bar a stage, drawn from a pipeline's progress."""

from collections.abc import Iterator

from tqdm import tqdm

from chorus_jax.engine.pipeline import Progress, Video


def show(run: Iterator[Progress]) -> tuple[Video, ...]:
    """Runs to the end with bars on the standard error; returns the videos."""
    bar, stage = None, ""
    videos: tuple[Video, ...] = ()
    for progress in run:
        if progress.stage != stage:
            if bar is not None:
                bar.close()
            stage = progress.stage
            bar = tqdm(total=progress.total, desc=stage, unit=UNITS[stage])
        if bar is not None:
            bar.update(progress.done - bar.n)
        videos = progress.videos or videos
    if bar is not None:
        bar.close()
    return videos


UNITS = {"encode": "prompt", "denoise": "step", "decode": "group"}
