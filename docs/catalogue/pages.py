"""The pages of the catalogue, as Markdown with a block of HTML for each item."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .entry import Entry
from .functions import activation, op
from .items import items
from .layers import layer
from .oracles import OWN, table
from .training import loss, metric, optimiser, schedule
from .weights import constraint, initializer, regularizer

__all__ = ["entries", "pages"]


class Kind(NamedTuple):
    """A page: its title, what it begins with, and how an item of it is described."""

    title: str
    about: str
    made: Callable[[str, Any], Entry]


KINDS: dict[str, Kind] = {
    "ops": Kind(
        "Ops",
        "The primitives of a graph; everything else is made of them. Each is one stanza in `ops/`: a NumPy function, "
        "its derivative as a graph, how it is written, and the samples on which the tests try it.",
        op,
    ),
    "activations": Kind(
        "Activations",
        'By name, `activation="relu"`; as functions, `kj.activations.relu(x)`; and as layers, `kj.nn.ReLU()`. The '
        "tests read formula and derivative back from the TeX of this page and compute them.",
        activation,
    ),
    "layers": Kind(
        "Layers",
        "The picture of a layer is its Jacobian for a small example: a row for each output, a column for each input, "
        "blue above 0, orange below. One sees what is connected to what, and which weights are shared. J is the loss.",
        layer,
    ),
    "losses": Kind(
        "Losses",
        "A number ℓ for each example, of target t and output y, with m outputs; training lowers its weighted mean.",
        loss,
    ),
    "metrics": Kind(
        "Metrics",
        "What a person judges a network by: exact over all examples, whatever the batches, with weights.",
        metric,
    ),
    "optimisers": Kind(
        "Optimisers",
        "Each is a list of named steps on the graph, which is read off here. θ is a parameter, g its gradient, ε the "
        "learning rate, α the momentum, δ a small number, t the number of the step.",
        optimiser,
    ),
    "schedules": Kind(
        "Schedules",
        "The learning rate ε of step k. The verdict is on the conditions of Robbins and Monro, Σε = ∞ and Σε² < ∞, "
        "under which stochastic descent settles.",
        schedule,
    ),
    "initializers": Kind(
        "Initialisers",
        "Starting values, drawn from the seed and the path of the parameter. fan_in and fan_out are the numbers of "
        "inputs and outputs of one unit.",
        initializer,
    ),
    "regularizers": Kind(
        "Regularisers",
        "Penalties on the size of weights, added to the loss that training lowers and reported apart from it.",
        regularizer,
    ),
    "constraints": Kind(
        "Constraints",
        "Sets that weights are brought back to after every step.",
        constraint,
    ),
}


def entries() -> dict[str, list[Entry]]:
    """Every item of every registry, by kind."""
    made = {kind: [KINDS[kind].made(name, thing) for name, thing in found.items()] for kind, found in items().items()}
    made["layers"].sort(key=lambda entry: "As a function" in entry.facts)  # these are on a page of their own already
    made["optimisers"].sort(key=lambda entry: "Steps" not in entry.facts)
    return made


def pages() -> dict[str, str]:
    """The pages by their file names.

    >>> sorted(pages())[:3]
    ['activations.md', 'constraints.md', 'index.md']
    """
    found = entries()
    return {"index.md": overview(found)} | {f"{kind}.md": page(kind, of) for kind, of in found.items()}


def page(kind: str, found: list[Entry]) -> str:
    """One kind."""
    title, about, _ = KINDS[kind]
    return f"# {title}\n\n{about}\n\n" + "\n".join(entry.markdown() for entry in found)


def overview(found: dict[str, list[Entry]]) -> str:
    """How many there are of each kind, and all of them by name."""
    return "\n".join(
        [
            "# Catalogue",
            "",
            f"{sum(map(len, found.values()))} items, each with its formula, its derivative, a picture, and the judges "
            "that the tests held it against, with the worst error they found. These pages are made from the code when "
            "the documentation is built: what is registered is here, and says what its docstring and its stanza say.",
            "",
            "| kind | items | judges, and of how many |",
            "|---|---|---|",
            *(f"| [{KINDS[kind].title}]({kind}.md) | {len(of)} | {judges(kind)} |" for kind, of in found.items()),
            "",
            SEARCH,
            "",
            *lists(found),
        ]
    )


def judges(kind: str) -> str:
    """Whose work the items of a kind were held against."""
    found: Counter[str] = Counter()
    for item, rows in table().items():
        if item.startswith(f"{kind}/"):
            found.update({re.split(r"[,']| float32", judge)[0] for judge in rows if judge not in OWN})
    return ", ".join(f"{judge} {times}" for judge, times in found.most_common())


def lists(found: dict[str, list[Entry]]) -> Iterator[str]:
    """The names, as links."""
    for kind, of in found.items():
        yield f"## {KINDS[kind].title}\n"
        yield " · ".join(f"[{entry.name}]({kind}.md#{entry.anchor})" for entry in of)
        yield ""


SEARCH = """<input class="kj-search" type="search" placeholder="Which one? softmax, pool, adam …" \
aria-label="Search the catalogue" oninput="kjFind(this.value)">
<script>
function kjFind(words) {
  const wanted = words.toLowerCase().split(/\\s+/).filter(Boolean);
  document.querySelectorAll("article h2").forEach(function (heading) {
    let some = false;
    const names = heading.nextElementSibling;
    names.querySelectorAll("a").forEach(function (link) {
      const fits = wanted.every(w => link.textContent.toLowerCase().includes(w));
      link.classList.toggle("kj-other", !fits);
      some = some || fits;
    });
    heading.hidden = names.hidden = !some;
  });
}
</script>"""
