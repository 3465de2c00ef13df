"""A lesson as a Jupyter notebook, format 4.5, without outputs."""

from __future__ import annotations

from typing import Any

from kedja.course.cells import Cell
from kedja.course.lesson import Lesson

__all__ = ["notebook"]

ANSWER = "# your answer\n"


def notebook(lesson: Lesson, solutions: bool = True) -> dict[str, Any]:
    """The content of the .ipynb file. Cells of solutions are tagged "solution" and folded away.

    Without `solutions` an empty cell takes the place of each.

    >>> made = notebook(Lesson.of("# Sums\\n\\nWhat is 1 + 1?\\n\\n::: solution\\n2\\n:::", "01-sums"), solutions=False)
    >>> [(cell["cell_type"], cell["source"]) for cell in made["cells"]]
    [('markdown', ['# Sums\\n', '\\n', 'What is 1 + 1?']), ('code', ['# your answer\\n'])]
    """
    cells: list[dict[str, Any]] = []
    before = None
    for number, cell in enumerate(lesson.cells, 1):
        if solutions or not cell.solution:
            cells.append(_cell(cell, f"{lesson.name}-{number}"))
        elif before is None or not before.solution:
            cells.append(_cell(Cell("code", ANSWER, cell.line), f"{lesson.name}-{number}"))
        before = cell
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(cell: Cell, key: str) -> dict[str, Any]:
    # Ids count cells instead of being drawn, so that the same lesson gives the same file.
    folded = {"jupyter": {"source_hidden": True}, "tags": ["solution"]} if cell.solution else {}
    made = {"cell_type": cell.kind, "id": key, "metadata": folded, "source": cell.source.splitlines(keepends=True)}
    return made | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {})
