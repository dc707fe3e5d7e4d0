"""Opens published tokenizers, and writes them to the folder of a checkpoint.

A folder is copied unchanged. A single file is a `tokenizer.json` or a `spiece.model`;
ComfyUI stores the latter as a tensor of bytes in the text encoder's file.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from chorus_jax import json_file
from convert import sentencepiece
from convert.tensors import SourceTensor
from convert.weight_files import check_present

BYTES = "spiece_model"
JSON, SPIECE = "tokenizer.json", ("spiece.model", "tokenizer.model")
VOCABULARIES = (JSON, *SPIECE)
SETTINGS = "tokenizer_config.json"
# The files of a tokenizer in a folder that holds a model's weights too.
FILES = (*VOCABULARIES, SETTINGS, "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class TokenizerSource:
    """A published tokenizer.

    Attributes:
        place: a folder, a file, or a tensor of bytes in a single-file checkpoint.
        among: whether the folder holds other files too, which are not read.
    """

    place: Path | SourceTensor
    among: bool = False

    def files(self) -> list[Path]:
        """All files that are read."""
        if not isinstance(self.place, Path):
            return [self.place.file]
        if self.place.is_file():
            return [self.place]
        return [path for path in _listed(self.place, self.among) if path.is_file()]

    def write(self, folder: Path) -> None:
        """Writes the tokenizer as a new folder with a tokenizer.json.

        Raises:
            ValueError: if the source contains no tokenizer.
        """
        if isinstance(self.place, Path) and self.place.is_dir():
            if self.among:
                folder.mkdir()
                for file in self.files():
                    shutil.copyfile(file, folder / file.name)
            else:
                shutil.copytree(self.place, folder)
            if not (folder / JSON).is_file():
                _write_rules(self.rules(), folder)
            return
        folder.mkdir()
        _write_rules(self.rules(), folder)

    def rules(self) -> Tokenizer:
        """The tokenizer itself. Raises a ValueError if the source contains none."""
        place = self.place
        if not isinstance(place, Path):
            name = f"{place.name} in {place.file}"
            return _built(place.read().tobytes(), name)
        if place.is_dir():
            names = (place / name for name in VOCABULARIES)
            place = next(file for file in names if file.is_file())
        if place.suffix == ".json":
            return _stored(place)
        json_file.check_small(place)
        return _built(place.read_bytes(), place)


def open_tokenizer(path: Path, among: bool = False) -> TokenizerSource:
    """Opens the tokenizer in a folder or file.

    Args:
        path: the folder or file.
        among: whether the folder holds other files too, such as weights, which are not
            read.

    Raises:
        ValueError: if there is none.
    """
    check_present(path)
    if path.is_dir():
        there = [path / name for name in VOCABULARIES if (path / name).exists()]
        if not there:
            names_there = ", ".join(sorted(x.name for x in path.iterdir())[:8])
            raise ValueError(
                f"{path} holds no tokenizer: looked for {', '.join(VOCABULARIES)}, "
                f"found {names_there or 'an empty folder'}; download it again"
            )
        for file in there:
            check_present(file)
        check_files(path, _listed(path, among))
    elif path.name != JSON and path.suffix not in (".model", ".json"):
        raise ValueError(
            f"{path} is no tokenizer: give a folder, a tokenizer.json or a spiece.model"
        )
    return TokenizerSource(path, among)


def _listed(folder: Path, among: bool) -> Iterable[Path]:
    """The paths in a tokenizer's folder, or among others those of its files."""
    return (folder / name for name in FILES) if among else folder.rglob("*")


def check_files(folder: Path, paths: Iterable[Path]) -> None:
    """Raises a ValueError for a file that must not be copied with a tokenizer.

    These are links out of the folder, or out of the hub cache around it; links to
    folders, since two of them may form an endless loop; pipes and devices; and files
    longer than any tokenizer's.
    """
    hub = [x for x in folder.absolute().parents if x.name.startswith("models--")]
    root = (hub or [folder])[0].resolve()
    for path in paths:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ValueError(
                f"{path} is a link to {path.resolve()}, out of its folder: get the "
                "tokenizer from its publisher"
            )
        if path.is_symlink() and path.is_dir():
            raise ValueError(f"{path} is a link to a folder: no tokenizer has one")
        if path.exists():
            json_file.check_small(path)


def tokenizer_in(tensors: Mapping[str, SourceTensor]) -> TokenizerSource | None:
    """The tokenizer stored among the tensors of a text encoder's file, or None."""
    return TokenizerSource(tensors[BYTES]) if BYTES in tensors else None


def _built(data: bytes, place: object) -> Tokenizer:
    try:
        return sentencepiece.rules(data)
    except ValueError as error:
        raise ValueError(f"{place} holds no tokenizer of T5's: {error}") from error


def _stored(file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_str(json_file.text_of(file))
    except Exception as error:  # The library raises no narrower class.
        raise ValueError(f"{file} is damaged or no tokenizer: {error}") from error


def _write_rules(rules: Tokenizer, folder: Path) -> None:
    if rules.token_to_id(sentencepiece.PAD) is None:
        raise ValueError(
            f"the tokenizer has no token {sentencepiece.PAD}: it is none of umT5's"
        )
    (folder / JSON).write_text(rules.to_str())
    settings = {
        "tokenizer_class": "TokenizersBackend",
        "pad_token": sentencepiece.PAD,
        "eos_token": sentencepiece.END,
        "model_max_length": 512,
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")
