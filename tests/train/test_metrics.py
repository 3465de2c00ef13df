"""Metrics equal scikit-learn's: on arrays, in evaluate and in fit, over padded batches, weights and both engines."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError, UnknownNameError
from kedja.train.metrics import METRICS, of_steps, saved
from oracles.closeness import worst

RNG = np.random.default_rng(5)
ENGINES = ["reference", "xla"]


def averaged(score, average):
    return lambda t, y, w: score(t, y, average=average, sample_weight=w, zero_division=0)


# of labels and the labels decided for
DECISIONS = {
    "accuracy": lambda t, y, w: sk.accuracy_score(t, y, sample_weight=w),
    "balanced_accuracy": lambda t, y, w: sk.balanced_accuracy_score(t, y, sample_weight=w),
    "mcc": lambda t, y, w: sk.matthews_corrcoef(t, y, sample_weight=w),
    **{
        f"{average}_{name}": averaged(score, average)
        for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score))
        for average in ("macro", "micro", "weighted")
    },
}
BINARY = DECISIONS | {
    "precision": averaged(sk.precision_score, "binary"),
    "recall": averaged(sk.recall_score, "binary"),
    "f1": averaged(sk.f1_score, "binary"),
}
# of labels and probabilities of several classes
CHANCES = {
    "log_loss": lambda t, p, w: sk.log_loss(t, p, labels=range(p.shape[1]), sample_weight=w),
    "top_2_accuracy": lambda t, p, w: sk.top_k_accuracy_score(t, p, k=2, labels=range(p.shape[1]), sample_weight=w),
    "roc_auc": lambda t, p, w: sk.roc_auc_score(t, p, multi_class="ovr", sample_weight=w),
    "average_precision": lambda t, p, w: sk.average_precision_score(np.eye(p.shape[1])[t], p, sample_weight=w),
}
NUMBERS = {
    "mae": lambda t, y, w: sk.mean_absolute_error(t, y, sample_weight=w),
    "mse": lambda t, y, w: sk.mean_squared_error(t, y, sample_weight=w),
    "r2": lambda t, y, w: sk.r2_score(t, y, sample_weight=w),
    "rmse": lambda t, y, w: np.sqrt(sk.mean_squared_error(t, y, sample_weight=w)),
}


def expected_of(table, t, y, w):
    """What scikit-learn says, without its warnings of classes that nobody decided for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: float(score(t, y, w)) for name, score in table.items()}


def told(judged, found, expected):
    """Enter every figure into the table of oracles, under the metric it is of."""
    for name, figure in expected.items():
        kind = name.removeprefix("macro_").removeprefix("micro_").removeprefix("weighted_")
        kind = {"top_2_accuracy": "top_k"}.get(kind, kind)
        if kind in METRICS:  # the others are losses that serve as metrics
            judged("scikit-learn", f"metrics/{kind}", 1, worst(found[name], figure))


def mlp(outputs: int, last: str | None = None) -> kj.Sequential:
    """3-5-outputs, float64, built."""
    net = kj.Sequential([kj.nn.Dense(5, "tanh"), kj.nn.Dense(outputs, last, bias_init="normal")], dtype="float64")
    return net.build((None, 3), seed=4)


# --- on arrays ------------------------------------------------------------------------------------------------------
@settings(max_examples=25)
@given(st.integers(2, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30), st.data())
def test_decisions_on_arrays(classes, pairs, data):
    """Labels against labels, whatever classes occur: also classes that nobody decides for, or that never occur."""
    t, y = (np.array(column) % classes for column in zip(*pairs))
    w = np.array(data.draw(st.lists(st.integers(1, 5), min_size=len(t), max_size=len(t))), float)
    for weights in (None, w):
        for name, figure in expected_of(DECISIONS, t, y, weights).items():
            assert kj.metrics.get(name)(t, y, weights) == pytest.approx(figure, abs=1e-12), name


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(1, 5)), min_size=1, max_size=30))
def test_order_on_arrays(rows):
    """Scores with many ties, with weights; one class alone has no area."""
    t, s, w = (np.array(column, float) for column in zip(*rows))
    for weights in (None, w):
        area = kj.metrics.ROCAUC()(t, s / 4, weights)
        if len(set(t)) == 1:
            assert np.isnan(area)
        else:
            assert area == pytest.approx(sk.roc_auc_score(t, s, sample_weight=weights), abs=1e-12)
            found = kj.metrics.AveragePrecision()(t, s / 4, weights)
            assert found == pytest.approx(sk.average_precision_score(t, s, sample_weight=weights), abs=1e-12)
    if not t.any():
        assert kj.metrics.AveragePrecision()(t, s / 4) == 0


def test_lower_case_and_options():
    """The functional form of the catalogue: names, objects and options give the same figure."""
    t, p = RNG.integers(0, 3, 50), RNG.dirichlet(np.ones(3), 50)
    expected = sk.f1_score(t, p.argmax(1), average="macro")
    ways = [kj.metrics.F1("macro"), kj.metrics.get("macro_f1"), kj.metrics.get("f1", average="macro")]
    ways += [kj.metrics.get({"name": "f1", "average": "macro"}), kj.metrics.get("f1")]  # "auto" is macro for three
    assert [m(t, p) for m in ways] == pytest.approx([expected] * 5, abs=1e-12)
    assert ways[0](np.eye(3)[t], kj.tensor(p, dtype="float64")) == ways[0](t[:, None], p.argmax(1)) == ways[0](t, p)


def test_links():
    """A single output above ½ is a yes, a logit above 0; targets −1 and 1 go with scores."""
    t, z = RNG.integers(0, 2, 60), RNG.normal(size=60)
    expected = sk.f1_score(t, z > 0)
    assert kj.metrics.F1()(t, z, link="logits") == pytest.approx(expected)
    assert kj.metrics.F1()(t, 1 / (1 + np.exp(-z))) == pytest.approx(expected)
    assert kj.metrics.F1()(2 * t - 1, z[:, None], link="scores") == pytest.approx(expected)
    assert kj.metrics.ROCAUC()(2 * t - 1, z, link="scores") == pytest.approx(sk.roc_auc_score(t, z))
    assert kj.metrics.LogLoss()(t, z[:, None], link="logits") == pytest.approx(sk.log_loss(t, 1 / (1 + np.exp(-z))))
    with pytest.raises(DataError, match="link is one of probabilities, logits, scores, values; got 'odds'"):
        kj.metrics.F1()(t, z, link="odds")


def test_binary_accuracy_judges_each_output(judged):
    """Several yes or no answers a row: the share of right ones."""
    t, p = RNG.integers(0, 2, (30, 4)), RNG.random((30, 4))
    found, expected = kj.metrics.BinaryAccuracy()(t, p), sk.accuracy_score(t.ravel(), p.ravel() > 0.5)
    assert found == pytest.approx(expected)
    judged("scikit-learn", "metrics/binary_accuracy", 1, worst(found, expected))


def test_order_of_several_answers():
    """Rows of several ones: each output by itself, and the mean, as scikit-learn does for indicators."""
    t, p = RNG.integers(0, 2, (40, 3)), RNG.random((40, 3))
    assert kj.metrics.ROCAUC()(t.astype(float), p) == pytest.approx(sk.roc_auc_score(t, p))
    with pytest.raises(DataError, match="one-hot rows, and these do not add up to 1"):
        kj.metrics.ROCAUC()(np.ones((4, 2)), p[:4, :2])


def test_top_k_breaks_ties_as_argmax_does():
    """Of equal outputs the first counts first, so that k = 1 is the accuracy."""
    y = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    for t in ([0, 1, 0], [1, 2, 1], [2, 0, 2]):
        assert kj.metrics.TopK(1)(t, y) == kj.metrics.Accuracy()(t, y)
    assert kj.metrics.TopK(2)([1, 2, 2], y) == pytest.approx(2 / 3)


def test_degenerate_targets():
    """One class, constant numbers, decisions that are all the same: scikit-learn's conventions."""
    assert kj.metrics.Precision()([1, 0], [0.1, 0.2]) == 0 == sk.precision_score([1, 0], [0, 0], zero_division=0)
    assert kj.metrics.Recall()([0, 0], [0.9, 0.2]) == 0 == sk.recall_score([0, 0], [1, 0], zero_division=0)
    assert kj.metrics.F1()([0, 0], [0.1, 0.2]) == 0 == sk.f1_score([0, 0], [0, 0], zero_division=0)
    assert kj.metrics.MCC()([0, 1, 1], [0.9, 0.9, 0.9]) == 0 == sk.matthews_corrcoef([0, 1, 1], [1, 1, 1])
    for y in ([[2.0], [2.0], [2.0]], [[2.0], [3.0], [2.0]]):
        t = [[2.0], [2.0], [2.0]]
        assert kj.metrics.R2()(t, y) == sk.r2_score(t, y)
    assert kj.metrics.R2()([[0.1]] * 3, [[0.1], [0.2], [0.1]]) == 0  # also where the mean of equal numbers is rounded


@pytest.mark.parametrize("mean", [0.0, 100.0, 1e5])
def test_r2_far_from_zero(mean):
    """A spread of 1 around a large mean is not lost in the squares, though the model computes in float32."""
    rng = np.random.default_rng(3)
    t = (mean + rng.normal(size=(5000, 2))).astype("float32")
    y = (t + 0.3 * rng.normal(size=t.shape)).astype("float32")
    expected = sk.r2_score(t.astype(float), y.astype(float))
    assert kj.metrics.R2()(t, y) == pytest.approx(expected, abs=3e-5)  # sums of 5,000 in float32


# --- evaluate -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [7, 1024, 2100])
def test_evaluate_classes(rows, weighted, engine, judged):
    """Every classifier's metric at once, over batches of which the last is padded; logits and softmax alike."""
    x, t = RNG.normal(size=(rows, 3)), RNG.permutation(np.arange(rows) % 4)
    w = RNG.uniform(0.1, 3, rows) if weighted else None
    names = [*DECISIONS, *CHANCES]
    for last in (None, "softmax"):
        net = mlp(4, last).compile(loss="cross_entropy", metrics=names)
        p = net.predict_proba(x)
        expected = expected_of(DECISIONS, t, p.argmax(1), w) | expected_of(CHANCES, t, p, w)
        for targets in (t, np.eye(4)[t]):
            found = net.evaluate(x, targets, sample_weight=w, engine=engine)
            assert list(found) == ["loss", *names]
            assert {n: found[n] for n in names} == pytest.approx(expected, abs=1e-10)
            told(judged, found, expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("outputs", [1, 2])
def test_evaluate_two_classes(outputs, engine, judged):
    """One output or two, logits or probabilities: the same figures as scikit-learn's of class 1."""
    rows = 1500
    x, t, w = RNG.normal(size=(rows, 3)), RNG.integers(0, 2, rows), RNG.uniform(0, 2, rows)
    loss = "binary_cross_entropy" if outputs == 1 else "cross_entropy"
    for last in (None, "sigmoid" if outputs == 1 else "softmax"):
        net = mlp(outputs, last).compile(loss=loss)
        p = net.predict_proba(x)[:, -1]
        expected = expected_of(BINARY, t, (p > 0.5).astype(int), w)
        expected["roc_auc"] = sk.roc_auc_score(t, p, sample_weight=w)
        expected["average_precision"] = sk.average_precision_score(t, p, sample_weight=w)
        expected["log_loss"] = sk.log_loss(t, p, sample_weight=w)
        found = net.evaluate(x, t, metrics=[*expected], sample_weight=w, engine=engine)
        assert {n: found[n] for n in expected} == pytest.approx(expected, abs=1e-10)
        told(judged, found, expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_numbers(weighted, engine, judged):
    """Errors and R² of several outputs over odd batches; a loss serves as a metric too."""
    x, t = RNG.normal(size=(1500, 3)), 10 + RNG.normal(size=(1500, 2))
    w = RNG.uniform(0, 2, 1500) if weighted else None
    net = mlp(2)
    found = net.evaluate(x, t, metrics=[*NUMBERS, "sse"], loss="mse", sample_weight=w, engine=engine)
    expected = expected_of(NUMBERS, t, net.predict(x), w)
    expected["sse"] = 2 * expected["mse"]
    assert {n: found[n] for n in expected} == pytest.approx(expected, rel=1e-10)
    told(judged, found, expected)


def test_hinge_decides_at_zero():
    """A margin's outputs are scores: labels from the sign, figures from targets −1 and 1, and no probabilities."""
    x, t = RNG.normal(size=(50, 3)), RNG.integers(0, 2, 50)
    net = mlp(1).compile(loss="hinge", metrics=["accuracy", "roc_auc"])
    z = net.predict(x)[:, 0]
    np.testing.assert_array_equal(net.predict_labels(x), z > 0)
    found = net.evaluate(x, 2 * t[:, None] - 1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(t, z > 0))
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(t, z))
    assert found == net.evaluate(x, t)
    with pytest.raises(GraphError, match="the output of the model is no probability"):
        net.predict_proba(x)


def test_sequences():
    """Every step of every sequence counts, with the weight of its sequence."""
    x, t, w = RNG.normal(size=(9, 5, 3)), RNG.integers(0, 3, (9, 5)), RNG.uniform(0.5, 2, 9)
    net = kj.Sequential([kj.nn.Dense(3)], dtype="float64").build((None, 5, 3), seed=1)
    z = net.predict(x).reshape(-1, 3)
    p, labels, each = np.exp(z) / np.exp(z).sum(1, keepdims=True), t.ravel(), np.repeat(w, 5)
    expected = expected_of(DECISIONS, labels, p.argmax(1), each) | expected_of(CHANCES, labels, p, each)
    found = net.evaluate(x, t, loss="cross_entropy", metrics=[*expected], sample_weight=w)
    assert {n: found[n] for n in expected} == pytest.approx(expected, abs=1e-10)


# --- fit ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("batch_size", "weighted"), [(None, False), (16, False), (16, True), (5, True)])
def test_figures_of_an_epoch(batch_size, weighted, engine):
    """With weights that stand still, an epoch's figures are those of all its rows, however they lie in batches."""
    x, t = RNG.normal(size=(83, 3)), RNG.integers(0, 4, 83)
    w = RNG.uniform(0.1, 3, 83) if weighted else None
    net = mlp(4)
    history = net.fit(
        x, t, loss="cross_entropy", metrics=[*DECISIONS, "log_loss", "top_2_accuracy"], optimizer=kj.optim.SGD(1e-30),
        epochs=2, batch_size=batch_size, sample_weight=w, engine=engine, seed=0,
    )  # fmt: skip
    p = net.predict_proba(x)
    expected = expected_of(DECISIONS, t, p.argmax(1), w)
    expected |= {name: CHANCES[name](t, p, w) for name in ("log_loss", "top_2_accuracy")}
    for epoch in range(2):
        assert {n: history[n][epoch] for n in expected} == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_r2_of_an_epoch_in_float32(engine):
    """The table of a float32 model's steps keeps the squares in float64."""
    x, t = RNG.normal(size=(70, 3)).astype("float32"), (1000 + RNG.normal(size=(70, 2))).astype("float32")
    net = kj.Sequential([kj.nn.Dense(2)]).build((None, 3), seed=0)
    net.set_weights([net.get_weights()[0], np.full(2, 1000, "float32")])
    history = net.fit(
        x, t, loss="mse", metrics=["r2"], optimizer=kj.optim.SGD(1e-30), batch_size=16, engine=engine, seed=0
    )
    expected = sk.r2_score(t.astype(float), net.predict(x).astype(float))
    assert history["r2"][0] == pytest.approx(expected, rel=1e-4)
    assert net.evaluate(x, t)["r2"] == pytest.approx(expected, rel=1e-4)


def test_metrics_do_not_change_the_run():
    """The weights after an epoch are the same bits, whatever is measured on the way."""
    x, t = RNG.normal(size=(40, 3)), RNG.integers(0, 3, 40)
    ends = []
    for metrics in ([], ["macro_f1", "mcc"]):
        net = kj.Sequential([kj.nn.Dense(5, "tanh"), kj.nn.Dense(3)])
        net.fit(x, t, loss="cross_entropy", metrics=metrics, epochs=3, batch_size=16, engine="reference", seed=0)
        ends.append([v.tobytes() for v in net.get_weights()])
    assert ends[0] == ends[1]


def test_metrics_of_order_are_measured_on_validation_rows():
    """roc_auc is in the History as val_roc_auc alone; without validation rows fit says why it cannot be."""
    x, t = RNG.normal(size=(60, 3)), RNG.integers(0, 2, 60)
    net = mlp(1, "sigmoid")
    how = {"loss": "binary_cross_entropy", "metrics": ["roc_auc", "accuracy"], "seed": 0}
    history = net.fit(x[:40], t[:40], validation=(x[40:], t[40:]), epochs=2, **how)
    assert sorted(history.metrics) == ["accuracy", "loss", "val_accuracy", "val_loss", "val_roc_auc"]
    expected = sk.roc_auc_score(t[40:], net.predict(x[40:])[:, 0])
    assert history["val_roc_auc"][-1] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(DataError, match=r"measures it on validation rows only: give validation=0.2, or ask evaluate"):
        net.fit(x, t, **how)
    assert [m.name for m in of_steps(kj.metrics.get_all(["roc_auc", "f1"]), validated=True)] == ["f1"]


# --- the confusion matrix -------------------------------------------------------------------------------------------
@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=30))
def test_confusion_of_sklearn(rows):
    """Counts and weights; numbers, words and decisions from scores."""
    warnings.simplefilter("ignore")  # scikit-learn's, of a single label
    t, y, w = (np.array(column) for column in zip(*rows))
    np.testing.assert_array_equal(kj.metrics.confusion(t, y).matrix, sk.confusion_matrix(t, y))
    np.testing.assert_allclose(kj.metrics.confusion(t, y, w).matrix, sk.confusion_matrix(t, y, sample_weight=w))
    words = np.array(["d", "a", "c", "b"])
    table = kj.metrics.confusion(words[t], words[y], labels=["d", "c", "b", "a"])
    np.testing.assert_array_equal(table, sk.confusion_matrix(words[t], words[y], labels=["d", "c", "b", "a"]))
    scored = kj.metrics.confusion(np.eye(4)[t], np.eye(4)[y] + 0.1)
    np.testing.assert_array_equal(scored, sk.confusion_matrix(t, y, labels=range(4)))
    for ours, theirs in (("true", "true"), ("predicted", "pred"), ("all", "all")):
        expected = sk.confusion_matrix(t, y, normalize=theirs)
        np.testing.assert_allclose(kj.metrics.confusion(t, y).normalised(ours), expected)


def test_confusion_is_read_and_drawn(tmp_path):
    """A table with the classes' names, and a picture."""
    iris = kj.data.load("iris")
    net = kj.Sequential([kj.nn.Dense(3)]).build((None, 4), seed=0)
    names = ["setosa", "versicolor", "virginica"]
    table = kj.metrics.confusion(iris.y, net.predict_labels(iris.x), labels=names)
    assert table.matrix.sum() == 150 and table.labels == names
    lines = str(table).splitlines()
    assert lines[0].split() == ["true", *names] and lines[1].split()[0] == "setosa" and len(set(map(len, lines))) == 1
    figure = table.plot(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000 and len(figure.axes[0].texts) == 9
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == names


def test_what_confusion_refuses():
    """Lengths that differ, classes without a name, and being asked for as a figure."""
    with pytest.raises(DataError, match="confusion needs a target for each output"):
        kj.metrics.confusion([0, 1], [0])
    with pytest.raises(DataError, match="class 'b' is in the data and not in labels"):
        kj.metrics.confusion(["a", "b"], ["a", "a"], labels=["a"])
    with pytest.raises(DataError, match="is a table, not a figure: kj.metrics.confusion"):
        kj.metrics.get("confusion")


# --- names, options, functions --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*METRICS, "top_3_accuracy", "micro_recall", "huber", "acc", "AUC", "r2_score"])
def test_names(name):
    """Every name gives a metric that its configuration makes again."""
    metric = kj.metrics.get(name)
    assert kj.metrics.get(saved([metric])[0]).structure() == metric.structure()
    assert kj.metrics.get(metric) is metric and repr(metric)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda: kj.metrics.get("f2"), UnknownNameError, "unknown metric 'f2'"),
        (lambda: kj.metrics.get("f1", averge="macro"), UnknownNameError, "unknown option of f1 'averge'"),
        (lambda: kj.metrics.F1("mean"), UnknownNameError, "unknown average 'mean'"),
        (lambda: kj.metrics.TopK(0), DataError, "top_k: k is a whole number of at least 1, got 0"),
        (lambda: kj.metrics.TopK(3)([0], [[0.1, 0.2, 0.7]]), DataError, "top_3_accuracy is always 1 for 3 classes"),
        (lambda: kj.metrics.F1("binary")([0], [[0.1, 0.2, 0.7]]), DataError, 'take "macro", "micro" or "weighted"'),
        (lambda: kj.metrics.F1()([0, 1], [0.5]), DataError, "f1 needs a target for each output; got shapes (2,) and"),
        (lambda: kj.metrics.F1()([0], [[0.5]], [0.0]), DataError, "a weight of at least 0 for each of the 1 rows"),
        (lambda: kj.metrics.F1()([-1], [1]), DataError, "f1 needs classes numbered from 0"),
        (lambda: kj.metrics.Accuracy()([[0, 1]], [[0.1, 0.2, 0.7]]), DataError, "do not fit outputs of shape (1, 3)"),
        (lambda: kj.metrics.ROCAUC()([0, 2], [0.1, 0.2]), DataError, "needs targets 0 and 1, or −1 and 1; got [0 2]"),
        (lambda: kj.metrics.R2()([1.0, 2.0], [[1.0], [2.0]]), ShapeError, "r2: the targets have shape (2,)"),
        (
            lambda: kj.metrics.get_all(["huber", kj.losses.Huber(3.0)]), DataError, "two different metrics are called",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(ask, error, message):
    """Unknown names and options, shapes that do not fit, figures that would mean nothing."""
    with pytest.raises(error) as found:
        ask()
    assert message in str(found.value)


def test_a_name_twice_counts_once():
    """The same metric under two names is one column."""
    assert [m.name for m in kj.metrics.get_all(["acc", "accuracy", kj.metrics.Accuracy()])] == ["accuracy"]
    assert [m.name for m in kj.metrics.get_all(kj.metrics.F1())] == ["f1"]


def share_above(t, y):
    return y > t


class Bias(kj.metrics.Metric):
    """The mean error over the mean target."""

    name = "bias"

    def per_example(self, t, y, link):
        return kj.concatenate([y - t, t], 1)

    def finish(self, means):
        return means[..., 0] / means[..., 1]


def test_metrics_of_the_users_own(tmp_path):
    """A function, also of yes and no, and a class with several means: in fit, in evaluate, and left out of files."""
    x, t = RNG.normal(size=(30, 3)), RNG.uniform(1, 2, (30, 1))
    net = mlp(1)
    history = net.fit(
        x, t, loss="mse", metrics=[share_above, Bias(), "r2"], optimizer=kj.optim.SGD(1e-30), batch_size=8
    )
    y = net.predict(x)
    expected = {"share_above": (y > t).mean(), "bias": (y - t).mean() / t.mean()}
    assert {n: history[n][0] for n in expected} == pytest.approx(expected)
    found = net.evaluate(x, t)
    assert {n: found[n] for n in expected} == pytest.approx(expected)
    net.save(tmp_path)
    assert list(kj.load(tmp_path).evaluate(x, t)) == ["loss", "r2"]
