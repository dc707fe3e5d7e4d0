"""Opens a Wan model: a folder, a hub cache, a single file, or files of single parts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from convert.forms import open_part
from convert.hub import resolved
from convert.original_folder import is_original, open_original, settings_of
from convert.parts_apart import PartsApart
from convert.source import (
    PARTS,
    Component,
    Source,
    common_folder,
    open_component,
    open_diffusers,
    read_json,
)
from convert.tokenizer_files import TokenizerSource, open_tokenizer, tokenizer_in
from convert.unrecognised import refusal
from convert.weight_files import check_present, read_weights


def open_source(path: Path, given: PartsApart = PartsApart()) -> Source:
    """Opens a Wan; reads headers only.

    Args:
        path: a folder in diffusers' or the original layout, a folder of a hub cache, or
            the single file of a transformer.
        given: further files and options.

    Raises:
        ValueError: if it is no Wan (saying what it seems to be), if a part is missing,
            if a file is damaged, or if an option applies to no file.
    """
    given.check_choices(path)
    if path.is_file() or path.is_symlink() and not path.is_dir():
        check_present(path)
        if "transformer" in given.parts:
            raise ValueError(
                f"{path} and {given.parts['transformer']} are both to be the "
                "transformer: give one of them"
            )
        given = replace(given, parts={"transformer": path, **given.parts})
        return _assembled(given, {}, None)
    source = _folder(resolved(path), given)
    if not given.parts and given.tokenizer is None and given.scheduler is None:
        return source
    return _assembled(given, source.components, source)


def _folder(folder: Path, given: PartsApart) -> Source:
    if (folder / "model_index.json").is_file():
        return open_diffusers(folder, given.variant)
    if is_original(folder):
        if given.variant is not None:
            raise ValueError(
                f"{folder} is in the original layout, which has no variants: leave "
                "--variant out"
            )
        return open_original(folder)
    raise ValueError(refusal(folder))


def _assembled(
    given: PartsApart, there: Mapping[str, Component], base: Source | None
) -> Source:
    """A source of the given parts, completed by the parts in `there` and `base`."""
    parts = {
        name: _part(name, path.absolute(), given) for name, path in given.parts.items()
    }
    all_parts = {**there, **parts}
    missing = [name for name in PARTS if name not in all_parts]
    if "transformer" in all_parts and all_parts["transformer"].config.get("image_dim"):
        missing += [name for name in ("image_encoder",) if name not in all_parts]
    tokenizer = _tokenizer(given, base)
    if missing or tokenizer is None:
        raise ValueError(_what_is_missing(given, missing, tokenizer is None))
    scheduler = base.scheduler if base is not None else None
    others = [] if base is None else list(base.others)
    if given.scheduler is not None:
        file = given.scheduler.absolute()
        check_present(file)
        scheduler, others = read_json(file), [file]
    settings = {**settings_of(all_parts), **({} if base is None else base.settings)}
    source = Source(Path("/"), all_parts, tokenizer, scheduler, settings, others)
    return replace(source, folder=common_folder(source))


def _part(name: str, path: Path, given: PartsApart) -> Component:
    check_present(path)
    if path.is_dir():
        return open_component(resolved(path), given.variant)
    return open_part(name, path, given.state_of(name))


def _tokenizer(given: PartsApart, base: Source | None) -> TokenizerSource | None:
    """The given tokenizer, else the text encoder file's own, else the source's."""
    if given.tokenizer is not None:
        return open_tokenizer(given.tokenizer.absolute())
    text = given.parts.get("text_encoder")
    if text is not None and text.is_file():
        tokenizer_source = tokenizer_in(read_weights([text.absolute()]))
        if tokenizer_source is not None:
            return tokenizer_source
    return None if base is None else base.tokenizer


def _what_is_missing(given: PartsApart, parts: list[str], tokenizer: bool) -> str:
    names = [*parts, *["tokenizer"] * tokenizer]
    options = " ".join(f"--{name.replace('_', '-')} FILE" for name in names)
    files = ", ".join(str(path) for path in given.parts.values()) or "nothing"
    return (
        f"{files}: these are single files, as ComfyUI has them, and only a part of a "
        f"model: give the others too, {options}"
    )
