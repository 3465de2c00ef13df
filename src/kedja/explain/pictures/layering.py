"""Where the nodes of a graph stand: in layers, with few crossings, edges as straight as they go.

Sugiyama's way (Sugiyama, Tagawa, Toda 1981): ranks by the longest path, edges over several ranks cut into steps, the
order within a rank by sweeps of barycentres, places by least squares under the order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Layout", "layered"]

SWEEPS = 12
STEP = 14.0  # room for an edge that passes between nodes


class Layout(NamedTuple):
    """The centre of every node, the bends of every edge from its start on, and the size of the whole.

    x runs along the ranks, y from rank to rank, first rank first.
    """

    places: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    width: float
    height: float


def layered(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], gap: tuple[float, float] = (26.0, 44.0)
) -> Layout:
    """A place for every node (width, height) of a graph without cycles; an edge goes from the lower to the upper rank.

    >>> found = layered([(40, 20)] * 3, [(0, 2), (1, 2)])
    >>> [y for _, y in found.places], found.places[0][0] < found.places[2][0] < found.places[1][0]
    ([10.0, 10.0, 74.0], True)
    """
    ranks = ranked(len(sizes), edges)
    widths = [w for w, _ in sizes]
    steps: list[tuple[int, int]] = []  # edges between neighbouring ranks; nodes from len(sizes) on are bends
    routes: list[list[int]] = []
    for start, end in edges:
        chain = [start]
        for rank in range(ranks[start] + 1, ranks[end]):
            chain.append(len(widths))
            widths.append(STEP)
            ranks.append(rank)
        chain.append(end)
        routes.append(chain)
        steps += itertools.pairwise(chain)
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=0) + 1)]
    for node in _from_the_top(len(widths), steps, ranks):
        rows[ranks[node]].append(node)
    rows = _uncrossed(rows, steps)
    x = _straightened(rows, steps, widths, gap[0], bends=len(sizes))
    x -= min((x[n] - widths[n] / 2 for n in range(len(widths))), default=0.0)
    tall = [max((sizes[n][1] for n in row if n < len(sizes)), default=0.0) for row in rows]
    y = [sum(tall[:i]) + i * gap[1] + tall[i] / 2 for i in range(len(rows))]
    places = [(float(x[n]), y[ranks[n]]) for n in range(len(sizes))]
    bends = [[(float(x[n]), y[ranks[n]]) for n in chain[1:-1]] for chain in routes]
    width = max((float(x[n]) + widths[n] / 2 for n in range(len(widths))), default=0.0)
    return Layout(places, bends, width, sum(tall) + gap[1] * (len(rows) - 1))


def ranked(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path from a start to every node; a start stands one rank below the first that uses it.

    >>> ranked(4, [(0, 1), (1, 2), (3, 2)])
    [0, 1, 2, 1]
    """
    users: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for start, end in edges:
        users[start].append(end)
        waiting[end] += 1
    sources = [n for n in range(count) if not waiting[n]]
    ranks, ready = [0] * count, list(sources)
    while ready:
        node = ready.pop()
        for user in users[node]:
            ranks[user] = max(ranks[user], ranks[node] + 1)
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    for node in sources:
        if users[node]:
            ranks[node] = min(ranks[user] for user in users[node]) - 1
    return ranks


def _from_the_top(count: int, steps: Sequence[tuple[int, int]], ranks: Sequence[int]) -> list[int]:
    """All nodes, as a walk from the last rank down meets them: what belongs together comes together."""
    inputs: list[list[int]] = [[] for _ in range(count)]
    for start, end in steps:
        inputs[end].append(start)
    seen: dict[int, None] = {}
    for top in sorted(range(count), key=lambda n: -ranks[n]):
        stack = [top]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen[node] = None
                stack += reversed(inputs[node])
    return list(seen)


def _uncrossed(rows: list[list[int]], steps: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The rows in an order with few crossings: each node towards the middle of its neighbours, up and down in turn."""
    below: dict[int, list[int]] = {}
    above: dict[int, list[int]] = {}
    for start, end in steps:
        below.setdefault(end, []).append(start)
        above.setdefault(start, []).append(end)
    best, fewest = [list(row) for row in rows], _crossings(rows, above)
    for sweep in range(SWEEPS):
        upwards = sweep % 2 == 0
        neighbours = below if upwards else above
        order = range(1, len(rows)) if upwards else range(len(rows) - 2, -1, -1)
        for i in order:
            fixed = {n: place for place, n in enumerate(rows[i - 1 if upwards else i + 1])}
            now = {n: place for place, n in enumerate(rows[i])}

            def middle(n: int, fixed: dict[int, int] = fixed, now: dict[int, int] = now) -> float:
                found = [fixed[m] for m in neighbours.get(n, []) if m in fixed]  # noqa: B023 (used at once)
                return sum(found) / len(found) if found else float(now[n])

            rows[i] = sorted(rows[i], key=middle)
        crossings = _crossings(rows, above)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _crossings(rows: Sequence[Sequence[int]], above: dict[int, list[int]]) -> int:
    count = 0
    for row, upper in itertools.pairwise(rows):
        place = {n: i for i, n in enumerate(upper)}
        ends = [sorted(place[m] for m in above.get(n, ())) for n in row]
        passed: list[int] = []
        for here in ends:
            count += sum(p > e for e in here for p in passed)
            passed += here
    return count


def _straightened(
    rows: Sequence[Sequence[int]], steps: Sequence[tuple[int, int]], widths: Sequence[float], gap: float, bends: int
) -> np.ndarray:
    """x of every node: again and again towards its neighbours, with the order and the gaps kept (least squares)."""
    x = np.zeros(len(widths))
    apart = {}
    for row in rows:
        ends = np.cumsum([0.0, *((widths[a] + widths[b]) / 2 + gap for a, b in itertools.pairwise(row))])
        apart[id(row)] = ends[: len(row)]
        for n, end in zip(row, ends, strict=False):
            x[n] = end - (ends[len(row) - 1] if row else 0) / 2
    neighbours: dict[int, list[int]] = {}
    for start, end in steps:
        neighbours.setdefault(start, []).append(end)
        neighbours.setdefault(end, []).append(start)
    ranks = {n: i for i, row in enumerate(rows) for n in row}
    for sweep in range(2 * SWEEPS):
        look_up = sweep % 2 == 1
        for i in range(len(rows)) if not look_up else reversed(range(len(rows))):
            row = rows[i]
            wanted, weight = [], []
            for n in row:
                side = [m for m in neighbours.get(n, []) if (ranks[m] > i) == look_up] or neighbours.get(n, [])
                # A bend is pulled harder: a long edge that is straight is read most easily.
                weight.append(4.0 if n >= bends else 1.0)
                wanted.append(float(np.mean([x[m] for m in side])) if side else x[n])
            if row:
                offsets = apart[id(row)]
                x[list(row)] = _rising(np.array(wanted) - offsets, np.array(weight)) + offsets
    return x


def _rising(wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The nearest numbers that never fall (pooling of adjacent violators).

    >>> _rising(np.array([3.0, 1.0, 5.0]), np.ones(3)).tolist()
    [2.0, 2.0, 5.0]
    """
    blocks: list[tuple[float, float, int]] = []
    for value, w in zip(wanted, weight, strict=True):
        mean, mass, n = float(value), float(w), 1
        while blocks and blocks[-1][0] > mean:
            before, heavy, many = blocks.pop()
            mean = (before * heavy + mean * mass) / (heavy + mass)
            mass, n = heavy + mass, many + n
        blocks.append((mean, mass, n))
    return np.concatenate([np.full(n, mean) for mean, _, n in blocks]) if blocks else wanted
