"""Cache folders of the Hugging Face hub's client, which contain snapshots."""

from pathlib import Path


def resolved(path: Path) -> Path:
    """The snapshot folder for a model's cache folder; other paths are returned
    unchanged.

    A model's cache folder is `models--OWNER--NAME`, with `snapshots/COMMIT` and
    `refs/main`, which names one of the snapshots; the files in a snapshot are links.

    Raises:
        ValueError: for a cache of models instead of one model's folder, or if it is
            unclear which of a model's snapshots is meant.
    """
    models = sorted(path.glob("models--*")) if path.is_dir() else []
    if models:
        raise ValueError(
            f"{path} is a hub cache of {len(models)} models: give the folder of one, "
            f"such as {models[0]}"
        )
    snapshots = path / "snapshots"
    if not snapshots.is_dir():
        return path
    there = sorted(folder for folder in snapshots.iterdir() if folder.is_dir())
    main = path / "refs" / "main"
    if main.is_file():
        named = snapshots / main.read_text().strip()
        if named in there:
            return named
    if len(there) == 1:
        return there[0]
    revisions = ", ".join(folder.name for folder in there[:10]) or "none"
    raise ValueError(
        f"{path} is a model's folder in a hub cache, and which of its snapshots is "
        f"meant is not known (found {revisions}): give one, as {snapshots}/COMMIT"
    )
