"""Draw the pictures of the documentation with kedja's own numbers: python docs/pictures.py [folder [plot …]]."""

import csv
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

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


def densities() -> plt.Figure:
    """The density of a sum of one to four uniform numbers, and the normal density with the same variance."""
    one = total = kj.explain.Density.of(lambda x: 1.0, 0, 1, 200)
    figure, axes = plt.subplots(1, 4, figsize=(7.6, 2.1), layout="constrained", sharey=True)
    for n, ax in enumerate(axes, 1):
        z = np.linspace(-0.3, n + 0.3, 200)
        ax.plot(z, np.exp(-((z - n / 2) ** 2) / (n / 6)) / np.sqrt(np.pi * n / 6), color=ORANGE, linestyle=(0, (4, 2)))
        ax.plot([0, *total.x, n], [0, *total.values, 0], color=BLUE, linewidth=1.8)
        ax.set_title(("one", "two", "three", "four")[n - 1], loc="left", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
        total = total + one
    axes[0].set_ylabel("density")
    return figure


def matrix() -> plt.Figure:
    """The matrix of a 3×3 kernel on a 6×6 image with padding: which of the nine weights stands where."""
    figure, ax = plt.subplots(figsize=(4.4, 4.3), layout="constrained")
    kj.explain.conv_matrix(np.ones((3, 3)), (6, 6), padding="same").plot(ax=ax)
    ax.set_facecolor("white")
    return figure


@cache
def digits_network() -> kj.Sequential:
    """The small network of the page on convolution, trained on 1,500 digits."""
    train, _ = kj.data.load("mnist_5k").split()
    net = kj.Sequential([kj.nn.Conv2D(8, 5, "relu"), kj.nn.MaxPool2D(4), kj.nn.Flatten(), kj.nn.Dense(10)])
    rule = kj.optim.Adam(0.008)
    net.fit(train.images[:1500], train.y[:1500], loss="cross_entropy", optimizer=rule, epochs=5, batch_size=50, seed=0)
    return net


def shift() -> plt.Figure:
    """How much the output of every layer changes when digits are moved by one, two and three pixels."""
    _, test = kj.data.load("mnist_5k").split()
    figure, ax = plt.subplots(figsize=(5.4, 3.0), layout="constrained")
    for by, colour in ((1, BLUE), (2, "#7c5cab"), (3, ORANGE)):
        rows = [r for r in kj.explain.shift(digits_network(), test.images[:200], by).rows if r.kind != "Flatten"]
        ax.plot([100 * r.relative for r in rows], "o-", color=colour, label=f"{by} pixel{'s' * (by > 1)}")
    names = {"": "input", "Conv2D": "convolution\nand ReLU", "MaxPool2D": "max-pooling", "Dense": "output"}
    ax.set_xticks(range(len(rows)), [names[r.kind] for r in rows])
    ax.set(ylabel="change, %", ylim=(0, None))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(title="moved by", frameon=False)
    return figure


def filters() -> plt.Figure:
    """A digit, what filters by hand make of it, and the eight that a network learned."""
    _, test = kj.data.load("mnist_5k").split()
    digit = test.images[3, :, :, 0]
    sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    shown = [("digit", digit), ("Sobel, across", kj.correlate(digit, sobel, "valid").numpy())]
    shown += [("Sobel, down", kj.correlate(digit, sobel.T, "valid").numpy())]
    shown += [("blur", kj.correlate(digit, np.full((3, 3), 1 / 9), "valid").numpy())]
    learned = np.moveaxis(digits_network().get_weights()[0][:, :, 0], -1, 0)
    figure = plt.figure(figsize=(7.4, 3.1), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    for ax, (title, image) in zip(above.subplots(1, 4), shown, strict=True):
        ax.imshow(image, cmap="RdBu_r", vmin=-np.abs(image).max(), vmax=np.abs(image).max())
        ax.set_title(title, fontsize=10)
        ax.axis("off")
    for ax, weights in zip(below.subplots(1, 8), learned, strict=True):
        ax.imshow(weights, cmap="RdBu_r", vmin=-np.abs(learned).max(), vmax=np.abs(learned).max())
        ax.axis("off")
    below.suptitle("learned", fontsize=10)
    return figure


def overfitting() -> plt.Figure:
    """Thirty noisy points of a sine: a net too small, one about right, one too large, and the losses of that one."""

    def sine(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (n, 1))
        return x, np.sin(4 * x) + 0.3 * rng.normal(size=(n, 1))

    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), layout="constrained", width_ratios=(1, 1, 1, 1.35))
    learn, line = sine(3, 30), np.linspace(-1, 1, 101)[:, None]
    for ax, (units, title) in zip(axes, ((1, "too small"), (2, "about right"), (64, "too large")), strict=False):
        hidden = [kj.nn.Dense(units, "tanh") for _ in range(2)]
        net = kj.Sequential([*hidden, kj.nn.Dense(1)], dtype="float64")
        history = net.fit(
            *learn, loss="mse", optimizer=kj.optim.Adam(0.01), epochs=3000, batch_size=None, seed=3,
            validation=sine(99, 500) if units == 64 else None,
        )  # fmt: skip
        ax.plot(*learn, "o", color=BLUE, markersize=3)
        ax.plot(line, np.sin(4 * line), color=INK, linewidth=0.8, linestyle=":")
        ax.plot(line, net.predict(line), color=ORANGE)
        ax.set_title(f"{title}: {units} + {units} units", loc="left", fontsize=10)
        ax.set(ylim=(-1.9, 1.9), xticks=(-1, 0, 1), yticks=(-1, 0, 1), xlabel="x")
    epochs = np.unique(np.geomspace(1, len(history), 90).round().astype(int))
    for name, color, label in (("val_loss", ORANGE, "other rows"), ("loss", BLUE, "own rows")):
        axes[3].plot(epochs, history[name][epochs - 1], color=color, label=label)
    best = history.best("val_loss")[0]
    axes[3].axvline(best, color=INK, linewidth=0.8, linestyle=":")
    axes[3].annotate("best weights", (best, 0.9), xytext=(4, 0), textcoords="offset points", fontsize=9)
    axes[3].set(xscale="log", yscale="log", xlabel="epoch", ylim=(0.004, 1.3))
    axes[3].minorticks_off()
    axes[3].set_title("loss of the large one", loc="left", fontsize=10)
    axes[3].legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def regularisation() -> plt.Figure:
    """Held-out loss of ten seeds under each remedy, against the same net without: docs/regularisation.csv."""
    with (Path(__file__).parent / "regularisation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["remedy"] for row in rows))
    figure, ax = plt.subplots(figsize=(7.4, 4.4), layout="constrained")
    for place, name in enumerate(names):
        losses = np.array([float(row["held_out"]) for row in rows if row["remedy"] == name])
        color = INK if name == "nothing" else ORANGE
        ax.barh(place, losses.mean(), height=0.62, color=color, alpha=0.25)
        ax.plot(losses, np.full(len(losses), place), "|", color=color, markersize=8)
    ax.axvline(
        np.mean([float(row["held_out"]) for row in rows if row["remedy"] == "nothing"]), color=INK, linewidth=0.8
    )
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="loss on rows not learned from: mean, and each of ten seeds", xlim=(0, None))
    ax.invert_yaxis()
    return figure


def seeing() -> dict[str, Any]:
    """The pictures of the page on pictures, as kj.explain makes them."""
    a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    c, d = a + b, b + 1
    e = c * d
    x, y = kj.data.load("xor")
    net = kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1, "sigmoid")])
    trail = kj.explain.Trail(every=10)
    rule = kj.optim.Adam(0.05)
    net.fit(
        x, y, loss="binary_cross_entropy", optimizer=rule, epochs=300, batch_size=None, seed=0, callbacks=[trail]
    )  # fmt: skip

    def deep(activation: str) -> kj.Sequential:
        layers = [kj.nn.Dense(16, activation, init="auto") for _ in range(10)]
        return kj.Sequential([*layers, kj.nn.Dense(1)]).build((None, 2), seed=0)

    changed = [kj.nn.RandomAffine(rotation=10, shift=0.08, zoom=0.1, shear=10), kj.nn.Cutout(0.3)]
    digits = kj.Sequential([kj.nn.Reshape((28, 28, 1)), *changed])
    return {
        "augmentations": kj.explain.augmentations(digits, kj.data.load("mnist_5k").x[3]),
        "seeing-graph": kj.explain.draw_graph(e, names={"c": c, "d": d, "e": e}),
        "seeing-network": kj.explain.draw_network(net, x[1], y[1], loss="binary_cross_entropy"),
        "seeing-boundary": kj.explain.boundary(net, x, y, span=((-0.5, 1.5), (-0.5, 1.5))),
        "seeing-race": kj.explain.race("valley", steps=50),
        "seeing-rates": kj.explain.rates(),
        "seeing-surface": kj.explain.loss_surface(net, x, y, directions="path", trail=trail),
        "seeing-gradients": kj.explain.gradient_sizes({"sigmoid": deep("sigmoid"), "relu": deep("relu")}, x, y, "mse"),
        "seeing-convolution": kj.explain.convolution_steps([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[1, 0], [0, -1]]),
    }


def heat_map() -> Any:
    """Five maps of a held-out seven, by the small network of the page on heat maps."""
    train, test = kj.data.load("mnist_5k").split(test=0.2, seed=0)
    few, _ = train.split(test=0.7, seed=0)
    net = kj.Sequential([
        kj.nn.Reshape((28, 28, 1)), kj.nn.AveragePool2D(2), kj.nn.Conv2D(16, 5, "relu", init="he"), kj.nn.MaxPool2D(2),
        kj.nn.Conv2D(32, 3, "relu", padding="same", init="he"), kj.nn.GlobalAveragePool(), kj.nn.Dense(10),
    ])  # fmt: skip
    net.fit(few, loss="cross_entropy", optimizer=kj.optim.Adam(0.01), epochs=8, seed=0, verbose=0)
    methods = ["grad_cam", "cam", "saliency", "integrated_gradients", "occlusion"]
    return kj.explain.heatmap(net, test.x[test.y == 7][0], method=methods)


def main(folder: Path, plots: Sequence[str] = ()) -> None:
    """Write every picture into the folder, or those of the plots below that are named."""
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        for draw in (graph, xor, densities, matrix, shift, filters, overfitting, regularisation):
            if not plots or draw.__name__ in plots:
                draw().savefig(folder / f"{draw.__name__}.svg", metadata={"Date": None})
        if plots:
            return
        for name, picture in seeing().items():
            picture.save(folder / f"{name}.svg")
        heat_map().save(folder / "heatmap-digit.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures", sys.argv[2:])
