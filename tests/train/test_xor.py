"""XOR: how many of a hundred starts find it, and why one that does not is stuck (scope 8.1).

Settings: tanh hidden units, a sigmoid output, binary cross-entropy, the notes' start N(0, 1/√fan_in), biases 0, Adam at
rate 0.1, all four rows in each of 1,000 steps, seeds 0 to 99. A start succeeds when all four answers are right. With
four hidden units 94 of 100 succeed, with two 45.
"""

import numpy as np
import pytest

import kedja as kj

X, Y = kj.data.load("xor")
STUCK = 2  # a seed of 2-2-1


def network(hidden: int) -> kj.Sequential:
    """2-hidden-1."""
    return kj.Sequential(
        [kj.nn.Dense(hidden, "tanh", init="scaled_normal"), kj.nn.Dense(1, "sigmoid", init="scaled_normal")]
    )


def trained(net: kj.Sequential, seed: int) -> kj.History:
    """The run of one seed; weights are drawn again, what was compiled is used again."""
    net.reset(seed=seed)
    return net.fit(X, Y, loss="binary_cross_entropy", optimizer=kj.optim.Adam(0.1), epochs=1000, batch_size=None)


def successes(hidden: int, seeds: range) -> int:
    """How many seeds answer all four rows rightly; after the first, none compiles anything."""
    net, found = network(hidden), 0
    for seed in seeds:
        history = trained(net, seed)
        assert seed == seeds[0] or history.compile_seconds == 0
        found += bool((net.predict_labels(X) == Y[:, 0]).all())
    return found


@pytest.mark.parametrize(("hidden", "expected"), [(4, 95), (2, 45)])
def test_a_hundred_seeds(hidden, expected):
    """About 95 of 100 starts with four hidden units, about 45 with two."""
    assert abs(successes(hidden, range(100)) - expected) <= 4


@pytest.fixture(scope="module")
def stuck() -> kj.Sequential:
    """2-2-1 in float64 from a start that never finds XOR."""
    net = kj.Sequential(network(2).layers, dtype="float64")
    trained(net, STUCK)
    return net


def cross_entropy(net: kj.Sequential) -> kj.Tensor:
    """The loss on the four rows, as a graph."""
    return kj.losses.get("binary_cross_entropy")(kj.tensor(Y, dtype="float64"), net(X))


def test_stuck_two_rows_are_answered_and_two_are_not(stuck):
    """Two answers are right, the other two are ½: the loss is ½ ln 2, that of guessing on half of the rows."""
    answers = stuck.predict(X)[:, 0]
    assert np.sort(np.abs(answers - Y[:, 0])) == pytest.approx([0, 0, 0.5, 0.5], abs=0.01)
    assert cross_entropy(stuck).item() == pytest.approx(0.5 * np.log(2), abs=1e-3)


def test_stuck_because_two_rows_look_alike_to_the_output(stuck):
    """The two rows it guesses on want different answers and have the same hidden values: both units are saturated."""
    guessed = np.flatnonzero(np.abs(stuck.predict(X)[:, 0] - 0.5) < 0.1)
    hidden = stuck.outputs_of("dense_1", X).numpy()[guessed]
    assert sorted(Y[guessed, 0]) == [0, 1]
    assert np.abs(hidden[0] - hidden[1]).max() < 1e-3 and np.abs(hidden).min() > 0.99


def test_stuck_in_a_flat_valley_and_not_on_a_saddle(stuck):
    """The gradient is almost 0 and no eigenvalue of the Hessian is negative; all but one are almost 0 as well."""

    def loss(theta: kj.Tensor) -> kj.Tensor:
        hidden = kj.tanh(kj.tensor(X, dtype="float64") @ theta[:4].reshape(2, 2) + theta[4:6])
        logit = hidden @ theta[6:8].reshape(2, 1) + theta[8]
        return (kj.softplus(logit) - Y.astype("float64") * logit).mean()

    with kj.default_dtype("float64"):
        theta = np.concatenate([w.ravel() for w in stuck.get_weights()])
        gradient, eigenvalues = kj.grad(loss)(theta).numpy(), np.linalg.eigvalsh(kj.hessian(loss)(theta).numpy())
    assert np.linalg.norm(gradient) < 1e-3
    assert eigenvalues[0] > 0 and eigenvalues[-2] < 1e-2 and eigenvalues[-1] == pytest.approx(0.375, abs=0.01)


def test_stuck_for_good(stuck):
    """Ten times as many steps leave it where it is; the weights only grow."""
    before = cross_entropy(stuck).item(), max(np.abs(w).max() for w in stuck.get_weights())
    stuck.fit(X, Y, epochs=10_000, batch_size=None)
    after = cross_entropy(stuck).item(), max(np.abs(w).max() for w in stuck.get_weights())
    assert 0.5 * np.log(2) < after[0] < before[0] and after[1] > before[1]


def test_the_textbook_solution():
    """W = [[1,1],[1,1]], c = (0, −1), w = (1, −2), b = 0 with ReLU answers 0, 1, 1, 0 (scope 8.1)."""
    net = kj.Sequential([kj.nn.Dense(2, "relu"), kj.nn.Dense(1)]).build((None, 2))
    net.set_weights([np.ones((2, 2)), [0.0, -1.0], [[1.0], [-2.0]], [0.0]])
    assert net.predict(X)[:, 0].tolist() == [0, 1, 1, 0]
