"""The course: notebooks about neural networks, kept as Markdown that a teacher can edit, and written as .ipynb files.

kedja course list
kedja course export --no-solutions --out my-course
"""

from kedja.course.cells import Cell, cells_of
from kedja.course.export import export
from kedja.course.lesson import Lesson, lesson, names
from kedja.course.notebook import notebook

__all__ = ["Cell", "Lesson", "cells_of", "export", "lesson", "names", "notebook"]
