"""Weights as arrays, and where they start: from the seed and the path, whatever the order of creation."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import GraphError, ShapeError


def net(**first) -> kj.Sequential:
    """3-4-2."""
    return kj.Sequential([kj.nn.Dense(4, "tanh", **first), kj.nn.Dense(2)])


def test_get_and_set_weights():
    """The weights of one model make another one equal."""
    a, b = net().build((None, 3), seed=1), net().build((None, 3), seed=2)
    x = np.ones((1, 3))
    assert not np.array_equal(a(x).numpy(), b(x).numpy())
    b.set_weights(a.get_weights())
    np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())


def test_get_weights_gives_copies():
    """Changing what came out changes nothing inside."""
    a = net().build((None, 3))
    a.get_weights()[0][:] = 0
    assert np.abs(a.get_weights()[0]).max() > 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda w: w[:-1], "has 4 weight arrays (dense_1.kernel, dense_1.bias, dense_2.kernel, dense_2.bias), got 3"),
        (lambda w: [*w[:-1], np.zeros(3)], "dense_2.bias has shape (2,), the array given (3,)"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(weights, message):
    """A wrong number or shape is refused by name, and all weights stay."""
    a = net().build((None, 3))
    before = a.get_weights()
    with pytest.raises(ShapeError) as error:
        a.set_weights(weights([np.zeros_like(w) for w in before]))
    assert message in str(error.value)
    assert all(np.array_equal(x, y) for x, y in zip(before, a.get_weights(), strict=True))


@pytest.mark.parametrize("ask", ["count_parameters", "get_weights"])
def test_weights_before_there_are_any(ask):
    """A model that has not met its input says so, and how to let it."""
    with pytest.raises(GraphError, match=r"has no weights yet: fit it, call it on data, or say the shape"):
        getattr(net(), ask)()


def test_one_seed_one_draw():
    """The same seed gives the same weights, bit for bit; another seed gives others."""
    a, b, c = (net().build((None, 3), seed=s).get_weights() for s in (7, 7, 8))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0], c[0])


def test_order_of_creation_does_not_matter():
    """A layer's draw depends on its path: layers made before it, inside the model or not, change nothing."""
    kj.nn.Dense(9)(np.ones((1, 9)))

    class Pair(kj.Module):
        def __init__(self, swap: bool) -> None:
            super().__init__()
            for name in ("b", "a") if swap else ("a", "b"):
                setattr(self, name, kj.nn.Dense(3))

        def call(self, x):
            return self.a(x) + self.b(x)

    first, second = Pair(False).build((None, 3), seed=5), Pair(True).build((None, 3), seed=5)
    np.testing.assert_array_equal(first.a.kernel.numpy(), second.a.kernel.numpy())
    assert not np.array_equal(first.a.kernel.numpy(), first.b.kernel.numpy())


def test_bias_and_kernel_of_one_layer_draw_apart():
    """Two parameters of one layer have different streams."""
    layer = kj.nn.Dense(3, init="normal", bias_init="normal")
    layer(np.ones((1, 1)), seed=0)
    assert not np.array_equal(layer.kernel.numpy()[0], layer.bias.numpy())


def test_the_name_of_a_model_changes_no_draw():
    """Naming a model is no other model."""
    a = kj.Sequential([kj.nn.Dense(2)]).build((None, 3), seed=1)
    b = kj.Sequential([kj.nn.Dense(2)], name="mine").build((None, 3), seed=1)
    np.testing.assert_array_equal(a.get_weights()[0], b.get_weights()[0])


def test_both_dtypes_start_alike():
    """A float64 model starts where the float32 model of the same seed does, to float32's rounding."""
    a = net().build((None, 3), seed=1).get_weights()[0]
    b = (
        kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(2)], dtype="float64")
        .build((None, 3), seed=1)
        .get_weights()[0]
    )
    assert (a.dtype, b.dtype) == ("float32", "float64")
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_redraw_is_build():
    """Redrawing with a seed gives what building with it gives."""
    a, b = net().build((None, 3), seed=1), net().build((None, 3), seed=2)
    a.redraw(2)
    assert all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))
