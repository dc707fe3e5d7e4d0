"""Reads and runs source files of configs; errors name file and line in one line."""

import ast
import dataclasses
import traceback
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from chorus_jax.request import Request

FUNCTION = "get_config"
GLOBALS = ("WEIGHTS", "TRANSFORMER", "FPS")
FIELDS = tuple(field.name for field in dataclasses.fields(Request))
ALIKE = 0.75  # difflib ratio from which a name counts as a misspelling


@dataclass(frozen=True)
class ConfigSource:
    """The source code of a config.

    Attributes:
        path: the path of the file.
        text: the text of the file.
        lines: the line of each name that is bound at the top level.
    """

    path: Path
    text: str
    lines: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> "ConfigSource":
        """Reads a config. Raises a ValueError if it is not Python, or misspells a
        name."""
        try:
            text = path.read_text()
            tree = ast.parse(text, str(path))
        except SyntaxError as error:
            raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from error
        except ValueError as error:  # not UTF-8, or null bytes
            raise ValueError(f"{path} is not Python source: {error}") from error
        source = cls(path, text, dict(bound(tree)))
        source.check_names()
        return source

    def place(self, name: str = "") -> str:
        """The file and, if the name is bound in it, the line, for error messages."""
        line = self.lines.get(name)
        return f"{self.path}" if line is None else f"{self.path}, line {line}"

    def check_names(self) -> None:
        """Raises a ValueError for a name that looks like a misspelt global."""
        for name in self.lines:
            field = name.lower() in FIELDS and name.upper() not in GLOBALS
            if name in GLOBALS or field:
                continue
            close = get_close_matches(name.upper(), GLOBALS, 1, ALIKE)
            if name != FUNCTION:
                close += get_close_matches(name, [FUNCTION], 1, ALIKE)
            if close:
                raise ValueError(
                    f"{self.place(name)}: {name} is not read, did you mean {close[0]}?"
                    f" A config has {FUNCTION}() and may have {', '.join(GLOBALS)}"
                )

    def run(self) -> ModuleType:
        """Runs the source as a module. Raises a ValueError for any error in it."""
        module = ModuleType("config")
        module.__file__ = str(self.path)
        try:
            exec(compile(self.text, str(self.path), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            raise ValueError(self.message(error)) from error
        return module

    def call(self, module: ModuleType, name: str) -> Any:
        """Calls a function of the module; returns None if there is none.

        Raises:
            ValueError: for any error in it.
        """
        function = getattr(module, name, None)
        if function is None:
            return None
        try:
            return function()
        except (Exception, SystemExit) as error:
            raise ValueError(self.message(error)) from error

    def value(self, module: ModuleType, name: str, kind: type, what: str) -> Any:
        """A global of the module, None if it is unset. Raises a ValueError for another
        type."""
        value = getattr(module, name, None)
        if value is not None and (type(value) is not kind):
            raise ValueError(f"{self.place(name)}: {name} is {what}, got {value!r}")
        return value

    def message(self, error: BaseException) -> str:
        """An error's text in one line, with the line of this file that led to it."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame.lineno for frame in frames if frame.filename == str(self.path)]
        place = f"{self.path}, line {own[-1]}" if own else str(self.path)
        text = " ".join(str(error).split())
        if isinstance(error, SystemExit):
            return f"{place}: a config may not end the process, got sys.exit({text})"
        if isinstance(error, TypeError) and "unexpected keyword argument" in text:
            text += f"; the fields of a Request are {', '.join(FIELDS)}"
        if type(error) is ValueError:
            return f"{place}: {text}"
        return f"{place}: {type(error).__name__}: {text}"


def bound(tree: ast.Module) -> list[tuple[str, int]]:
    """The names that a module binds at the top level, with their lines."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.append((node.name, node.lineno))
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            names += [
                (name.id, name.lineno)
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            ]
    return names
