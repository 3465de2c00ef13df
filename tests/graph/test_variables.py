"""Variables and State: assignment, updates, snapshots."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DTypeError, GraphError, ShapeError, UnknownNameError


def test_assign_takes_effect_at_once():
    """Values computed from the variable are computed anew."""
    w = kj.Parameter([1.0, 2.0], name="w")
    y = (w * 2.0).sum()
    before = y.item()
    w.assign([10.0, 20.0])
    assert (before, y.item()) == (6.0, 60.0)


def test_cached_values_in_between_are_invalidated_too():
    """A value below a cached value below the variable is not served stale."""
    w = kj.Parameter(1.0)
    inner = w + 1.0
    outer = inner * 10.0
    seen = [inner.item(), outer.item()]
    w.assign(4.0)
    assert (seen, outer.item(), inner.item()) == ([2.0, 20.0], 50.0, 5.0)


def test_assigning_another_variable_does_not_disturb():
    """A value depends on its own variables only, also after several assignments elsewhere."""
    a, b = kj.Parameter(1.0), kj.Parameter(2.0)
    x, y = a * 10.0, b * 10.0
    first = (x.item(), y.item(), (x + y).item())
    b.assign(3.0)
    assert (first, x.item(), y.item(), (x + y).item()) == ((10.0, 20.0, 30.0), 10.0, 30.0, 40.0)


def test_assign_of_its_own_graph():
    """w ← w − 0.5 w reads the value before."""
    w = kj.Parameter([1.0, 2.0])
    for _ in range(3):
        w.assign(w - 0.5 * w)
    assert w.numpy().tolist() == [0.125, 0.25]


def test_value_is_read_only():
    """Only assign changes a variable."""
    with pytest.raises(ValueError, match="read-only"):
        kj.Parameter([1.0]).value[0] = 2.0


def test_a_variable_keeps_its_own_copy():
    """Changing the array given to it, at the start or by assign, changes nothing."""
    array = np.ones(2, np.float32)
    w = kj.Parameter(array)
    w.assign(array)
    array[:] = 9
    assert w.numpy().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_updates_read_before_and_write_together(engine):
    """a and b swap: both updates see the values from before the step."""
    a, b = kj.Variable(1.0, name="a"), kj.Variable(2.0, name="b")

    def swap():
        a.update(b)
        b.update(a + 0.0)
        return a

    seen = kj.compile(swap, engine=engine)()
    assert (seen.item(), a.numpy().item(), b.numpy().item()) == (1.0, 2.0, 1.0)


def test_two_updates_of_one_variable_are_refused():
    """A step says once what a variable becomes."""
    a = kj.Variable(1.0, name="a")

    def twice():
        a.update(a + 1.0)
        a.update(a + 2.0)

    with pytest.raises(GraphError, match="'a' is updated twice"):
        kj.compile(twice)()


def test_update_outside_a_trace_is_refused():
    """It names assign."""
    with pytest.raises(GraphError, match=r"variable\.assign"):
        kj.Variable(1.0).update(2.0)


def test_assign_inside_a_trace_is_refused():
    """It names update."""
    a = kj.Variable(1.0, name="a")
    with pytest.raises(GraphError, match=r"variable\.update"):
        kj.compile(lambda: a.assign(2.0))()


def test_update_inside_a_loop_body_is_refused():
    """The body of a scan carries values; it does not write."""
    a = kj.Variable(1.0, name="a")

    def body(c, _):
        a.update(c)
        return c, None

    with pytest.raises(GraphError, match="Carry the value through the loop"):
        kj.scan(body, kj.tensor(1.0), length=2)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda f, i: f.assign([1.0]), ShapeError, r"shape \(2,\) and cannot take a value of shape \(1,\)"),
        (lambda f, i: f.assign(kj.tensor([1, 2], dtype="int64")), DTypeError, r"kj\.cast\(x, 'float32'\)"),
        (lambda f, i: i.assign(2.7), DTypeError, "int64 and cannot take 2.7"),
        (lambda f, i: i.assign(kj.tensor(1.0)), DTypeError, "int64"),
    ],
)
def test_assign_refuses_what_does_not_fit(change, error, words):
    """Shapes and types of variables never change, and nothing is cut without a word."""
    with pytest.raises(error, match=words):
        change(kj.Variable([1.0, 2.0], name="f"), kj.Variable(0, dtype="int64", name="i"))


def test_parameters_are_floating_point():
    """Integers cannot be learned."""
    with pytest.raises(DTypeError, match="must be floating-point"):
        kj.Parameter(np.arange(3))


def test_kinds_are_known():
    """A kind that is none is refused, with the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'statistic'"):
        kj.Variable(1.0, kind="statistics")


def test_names_take_their_scope():
    """Scopes nest and end."""
    with kj.name_scope("net"), kj.name_scope("dense"):
        inner = kj.Parameter(1.0, name="w")
    assert (inner.name, kj.Parameter(1.0, name="w").name, kj.Parameter(1.0).name) == ("net/dense/w", "w", None)


def make() -> kj.State:
    """A state with one variable of three kinds."""
    return kj.State(
        {
            "a/w": kj.Parameter([1.0, 2.0], name="w"),
            "a/mean": kj.Variable([0.0], kind="statistic"),
            "step": kj.Variable(0, dtype="int64", kind="counter"),
        }
    )


def test_state_restores_what_it_snapped():
    """After changes, restore brings every value back; the snapshot is a copy."""
    state = make()
    kept = state.snapshot()
    state["a/w"].assign([7.0, 8.0])
    state["step"].assign(5)
    state.restore(kept)
    assert (state["a/w"].numpy().tolist(), state["step"].numpy().item()) == ([1.0, 2.0], 0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda v: v.pop("step"), GraphError, r"missing \['step'\]"),
        (lambda v: v.update(extra=1.0), GraphError, r"not known here \['extra'\]"),
        (lambda v: v.update({"step": np.zeros(3)}), DTypeError, "cannot take"),
        (lambda v: v.update({"a/w": np.zeros(3)}), ShapeError, r"a/w has shape \(2,\), the value given \(3,\)"),
    ],
)
def test_restore_changes_all_or_nothing(change, error, words):
    """Values that do not belong are refused before anything is set."""
    state = make()
    values = {path: value + 1 for path, value in state.snapshot().items()}
    change(values)
    with pytest.raises(error, match=words):
        state.restore(values)
    assert state["a/mean"].numpy().tolist() == [0.0]


def test_state_parts_and_sizes():
    """of_kind selects, size counts shared variables once, order is that of adding."""
    state = make()
    state.add("tied/w", state["a/w"])
    assert (list(state.of_kind("trainable")), state.size(), state.size("trainable")) == (["a/w", "tied/w"], 4, 2)


def test_state_refuses_a_path_taken():
    """Two variables cannot share a path."""
    with pytest.raises(GraphError, match="path 'step'"):
        make().add("step", kj.Variable(1.0))


def test_state_names_the_nearest_path():
    """A path that is not there brings a suggestion."""
    with pytest.raises(UnknownNameError, match="Did you mean 'a/mean'"):
        make()["a/meen"]


def test_a_graph_that_only_grows_gets_a_warning():
    """w = w − rate·g builds on every step before; the warning names the idiom."""
    w = kj.tensor(1.0)
    with pytest.warns(UserWarning, match=r"w\.assign\(w - rate \* gradient\)"):
        for _ in range(1100):
            w = w - 0.001 * w
            w.numpy()


def test_assigning_does_not_grow_the_graph():
    """The idiom leaves a graph of constant size: no warning, and w has no inputs."""
    w = kj.Parameter(1.0)
    for _ in range(1100):
        w.assign(w - 0.001 * w)
    assert w.inputs == () and w.numpy().item() == pytest.approx(0.999**1100, rel=1e-3)
