"""Taking a lesson's text apart: what becomes a cell, what an output, what a solution, and what is refused where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedja.course import Lesson, cells_of, notebook
from kedja.errors import FormatError, UnknownNameError

TEXT = """\
# Sums

Some text.

## One

```python
print(1 + 1)
```

```text
2
```

```console
pip install x
```

## Exercises

**Exercise 1.** What is 2 + 2?

::: solution
Four.

```python
2 + 2
```

```text
4
```
:::

**Exercise 2.** And 3 + 3?
"""


def test_cells_of_a_lesson():
    """Prose is cut at headings and exercises; outputs belong to the code before; other blocks are shown as text."""
    cells = cells_of(TEXT)
    assert [(c.kind, c.source.partition("\n")[0], c.solution, c.output) for c in cells] == [
        ("markdown", "# Sums", False, None),
        ("markdown", "## One", False, None),
        ("code", "print(1 + 1)", False, "2"),
        ("markdown", "```console", False, None),
        ("markdown", "## Exercises", False, None),
        ("markdown", "**Exercise 1.** What is 2 + 2?", False, None),
        ("markdown", "Four.", True, None),
        ("code", "2 + 2", True, "4"),
        ("markdown", "**Exercise 2.** And 3 + 3?", False, None),
    ]
    assert [TEXT.splitlines()[c.line - 1] for c in cells[:3]] == ["# Sums", "## One", "```python"]


def test_title_exercises_and_answer_cells():
    """A lesson knows its title and counts its exercises; two cells of one solution leave one empty cell."""
    told = Lesson.of(TEXT, "01-sums")
    assert (told.title, told.exercises) == ("Sums", 2)
    kinds = [cell["cell_type"] for cell in notebook(told, solutions=False)["cells"]]
    assert kinds == ["markdown", "markdown", "code", "markdown", "markdown", "markdown", "code", "markdown"]
    keys = [cell["id"] for cell in notebook(told)["cells"]]
    assert len(set(keys)) == len(keys) == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# A\n\n```python\n1\n", "01-a, line 3: this block is never closed"),
        ("# A\n\n```text\n1\n```\n", "01-a, line 3: an output (a text block) must directly follow"),
        ("# A\n\n```python\n1\n```\n\n```text\n1\n```\n\n```text\n1\n```\n", "01-a, line 11: an output"),
        ("# A\n\n::: solution\nB\n", "01-a, line 3: this solution is never closed"),
        ("# A\n\n:::\n", "01-a, line 3: ':::' ends a solution, but none has begun"),
        ("# A\n\n::: solution\n::: solution\n:::\n", "line 4: a solution inside the one that begins in line 3"),
        ("Sums\n", "01-a: a lesson begins with its title"),
        ("", "01-a: a lesson begins with its title"),
    ],
)
def test_what_is_wrong_with_a_lesson_is_said_with_its_line(text, said):
    """Each mistake is named, with the lesson and the line."""
    with pytest.raises(FormatError) as error:
        Lesson.of(text, "01-a")
    assert said in str(error.value)


def test_unknown_lesson_names_the_nearest():
    """A name that is not there is answered with one that is."""
    from kedja.course import lesson

    with pytest.raises(UnknownNameError, match="Did you mean '13-digits'"):
        lesson("13-digit")
    with pytest.raises(UnknownNameError, match="unknown lesson '18'"):
        lesson("18")


@given(
    st.lists(st.sampled_from(["word", "## H", "```python", "```text", "```", "::: solution", ":::", ""]), max_size=14)
)
def test_any_text_is_taken_apart_or_refused(lines):
    """No text ends in another error; of one that is accepted each line is kept once, in order."""
    text = "# T\n" + "\n".join(lines)
    try:
        cells = cells_of(text)
    except FormatError:
        return
    kept = [line for cell in cells for line in (cell.source.splitlines() + (cell.output or "").splitlines())]
    marks = ("```", ":::")
    told = [line for line in text.splitlines() if line and not line.startswith(marks)]
    assert [line for line in kept if line and not line.startswith(marks)] == told
