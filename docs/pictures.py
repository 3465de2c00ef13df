"""Draw the pictures of the documentation with kedja's own numbers: python docs/pictures.py [folder]."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

import kedja as kj

INK, BLUE, ORANGE, PAPER = "#2b2b2b", "#2468b4", "#d5700b", "#fbfaf7"
STYLE = {
    "svg.hashsalt": "kedja", "svg.fonttype": "none", "font.size": 10, "axes.edgecolor": INK, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "figure.facecolor": PAPER, "axes.facecolor": PAPER,
}  # fmt: skip


def graph() -> plt.Figure:
    """c = a + b, d = b + 1, e = c·d at a = 2, b = 1: values on nodes, derivatives on edges (scope 1.7)."""
    a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    c, d = a + b, b + 1
    e = c * d
    places = {a: (0, 0), b: (2, 0), c: (0.5, 1), d: (1.7, 1), e: (1.1, 2)}
    labels = {a: "a", b: "b", c: "c = a + b", d: "d = b + 1", e: "e = c · d"}
    figure, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    for lower, upper in ((a, c), (b, c), (b, d), (c, e), (d, e)):
        (x0, y0), (x1, y1) = places[lower], places[upper]
        arrow = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (x1, y1 - 0.17), (x0, y0 + 0.17), arrowprops=arrow)
        slope = kj.grad(upper, lower).item()
        ax.text(
            0.55 * x0 + 0.45 * x1, 0.55 * y0 + 0.45 * y1, f"{slope:g}", color=ORANGE, ha="center", va="center",
            weight="bold", bbox={"boxstyle": "circle,pad=0.15", "fc": PAPER, "ec": "none"},
        )  # fmt: skip
    total = dict(zip((a, b), kj.grad(e, [a, b]), strict=True))
    for node, (x, y) in places.items():
        text = f"{labels[node]}\n{node.item():g}"
        ax.text(x, y, text, ha="center", va="center", bbox={"boxstyle": "round,pad=0.35", "fc": "white", "ec": BLUE})
        if node in total:
            name = labels[node]
            ax.text(x, y - 0.36, f"∂e/∂{name} = {total[node].item():g}", ha="center", va="center", color=ORANGE)
    ax.set(xlim=(-0.6, 2.6), ylim=(-0.5, 2.3))
    ax.axis("off")
    return figure


def xor() -> plt.Figure:
    """The four inputs of XOR as the hidden layer of 2-2-1 sees them: one seed that learned it, one that is stuck."""
    x, y = kj.data.load("xor")
    found: dict[bool, tuple[int, kj.Sequential]] = {}
    for seed in range(40):
        net = kj.Sequential([kj.nn.Dense(2, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
        net.fit(
            x, y, loss="binary_cross_entropy", optimizer=kj.optim.Adam(0.05), epochs=2000, batch_size=None, seed=seed
        )
        found.setdefault(bool((abs(net.predict(x) - y) < 0.4).all()), (seed, net))
        if len(found) == 2:
            break
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.5), layout="constrained", sharey=True)
    for ax, learned in zip(axes, (True, False), strict=True):
        seed, net = found[learned]
        hidden = net.outputs_of("dense_1", kj.tensor(x)).numpy()
        grid = np.stack(np.meshgrid(np.linspace(-1.3, 1.3, 60), np.linspace(-1.3, 1.3, 60)), -1).astype(np.float32)
        answer = net.get_layer("dense_2")(kj.tensor(grid)).numpy()[..., 0]
        ax.contourf(grid[..., 0], grid[..., 1], answer, levels=[0, 0.5, 1], colors=["#dbe7f5", "#fbe5cf"])
        for point, target, inputs in zip(hidden, y[:, 0], x.astype(int), strict=True):
            same = np.flatnonzero(np.abs(hidden - point).max(1) < 0.2)
            dot = {"color": ORANGE if target else BLUE, "markeredgecolor": "white"}
            if np.ptp(y[same]):  # inputs of either target lie here
                dot |= {"color": ORANGE, "markerfacecoloralt": BLUE, "fillstyle": "left"}
            ax.plot(*point, "o", markersize=10, **dot)
            if inputs.tolist() == x[same[0]].tolist():
                names = ", ".join(f"({int(i)}, {int(j)})" for i, j in x[same])
                left = point[0] > 0
                ax.annotate(
                    names, point, xytext=(-10 if left else 10, -14 if point[1] > 0 else 12), textcoords="offset points",
                    ha="right" if left else "left", va="center",
                )  # fmt: skip
        ax.set_title(f"seed {seed}: {'learned' if learned else 'stuck'}", loc="left", fontsize=11)
        ax.set(xlabel="hidden unit 1", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    axes[0].set_ylabel("hidden unit 2")
    return figure


def main(folder: Path) -> None:
    """Write every picture into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        for draw in (graph, xor):
            draw().savefig(folder / f"{draw.__name__}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
