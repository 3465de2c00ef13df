"""The lessons that come with kedja: files `lessons/NN-name.md`, in the order of their numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from kedja.course.cells import Cell, cells_of
from kedja.errors import FormatError, one_of

__all__ = ["Lesson", "lesson", "names"]

WORDS, LINES = 200, 20  # of prose, and of code, that are read in a minute


@dataclass(frozen=True)
class Lesson:
    """A lesson: its name, as the file is called, and its cells."""

    name: str
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """The heading it begins with."""
        return self.cells[0].source.partition("\n")[0].removeprefix("# ")

    @property
    def exercises(self) -> int:
        """How many exercises it has."""
        return sum(cell.source.startswith("**Exercise ") for cell in self.cells)

    @property
    def minutes(self) -> int:
        """How long it takes to read, without the exercises: 200 words or 20 lines of code a minute."""
        first = next((i for i, cell in enumerate(self.cells) if cell.source.startswith("**Exercise ")), len(self.cells))
        read = self.cells[:first]
        words = sum(len(cell.source.split()) for cell in read if cell.kind == "markdown")
        lines = sum(len(cell.source.splitlines()) for cell in read if cell.kind == "code")
        return round(words / WORDS + lines / LINES)

    @classmethod
    def of(cls, text: str, name: str) -> Lesson:
        """A lesson from its text; FormatError when it does not begin with a title.

        >>> Lesson.of("# Sums\\n\\n```python\\n1 + 1\\n```", "01-sums").title
        'Sums'
        """
        cells = tuple(cells_of(text, name))
        if not cells or not cells[0].source.startswith("# "):
            raise FormatError(f"{name}: a lesson begins with its title, a line such as '# The perceptron'")
        return cls(name, cells)


def names() -> tuple[str, ...]:
    """The names of all lessons, in order.

    >>> names()[0]
    '01-perceptron'
    """
    found = [path.name for path in files("kedja.course").joinpath("lessons").iterdir()]
    return tuple(sorted(name.removesuffix(".md") for name in found if re.fullmatch(r"\d\d-[a-z0-9-]+\.md", name)))


def lesson(name: str) -> Lesson:
    """The lesson of this name or number; UnknownNameError, with the nearest name, when there is none.

    >>> lesson("06").name == lesson("6").name == "06-xor-1-layers"
    True
    """
    known = names()
    number = f"{int(name):02}-" if name.isdecimal() else name
    full = next((k for k in known if k == name or (name.isdecimal() and k.startswith(number))), None)
    if full is None:
        raise one_of("lesson", name, known)
    return Lesson.of(files("kedja.course").joinpath("lessons", f"{full}.md").read_text(encoding="utf-8"), full)
