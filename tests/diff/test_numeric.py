"""numeric_gradient and check_gradients, the judges inside the library."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import ShapeError


def off_by(factor: float):
    """A sine whose stated derivative is wrong by a factor."""
    return kj.custom_gradient(lambda x: (kj.sin(x), lambda g: g * kj.cos(x) * factor))


def test_numeric_gradient_of_a_matrix():
    """Shape and values: ∂Σx³ = 3x²."""
    x = kj.tensor([[1.0, -2.0], [0.5, 3.0]], dtype="float64")
    np.testing.assert_allclose(kj.numeric_gradient((x**3).sum(), x), 3 * x.numpy() ** 2, rtol=1e-8)


def test_check_counts_its_forward_passes():
    """Two per number: the cost that back-propagation avoids (scope 1.8)."""
    assert kj.check_gradients(lambda x: (x * x).sum(), np.ones(7)).forward_passes == 14


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_a_right_rule_passes_at_any_scale(scale):
    """What counts is the difference relative to the gradient, not its size."""
    assert kj.check_gradients(lambda x: scale * kj.sin(x).sum(), np.array([0.3, 1.0]))


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_a_wrong_rule_is_caught_at_any_scale(scale):
    """One part in a thousand is noticed, however small the values are."""
    assert not kj.check_gradients(lambda x: scale * off_by(1.001)(x).sum(), np.array([0.3, 1.0]))


def test_a_gradient_of_zero_passes():
    """Where both gradients are 0 nothing is divided by 0."""
    assert kj.check_gradients(lambda x, y: (y * 2.0).sum() + 1e3, np.ones(2), np.ones(2))


def test_rounding_is_not_taken_for_a_mistake():
    """A small slope under a large value: perturbation cannot see it to 1e-6, and the check knows."""
    assert kj.check_gradients(lambda x: (1e-6 * kj.sin(x)).sum() + 1e3, np.array([0.3]))


def test_gradients_that_are_no_numbers_fail():
    """NaN never passes."""
    assert not kj.check_gradients(lambda x: kj.sqrt(x).sum(), np.array([-1.0, 1.0]))


def test_integers_are_passed_through():
    """Labels stay integers and are not perturbed."""
    labels = np.array([0, 2])
    picked = lambda x, i: (kj.take(x, i) ** 2).sum()  # noqa: E731
    assert kj.check_gradients(picked, np.array([1.0, 2.0, 3.0]), labels).forward_passes == 6


def test_graph_form_checks_parameters_in_their_own_precision():
    """check_gradients(y, wrt=[w]) on float32 parameters."""
    w = kj.Parameter([0.5, -1.0], name="w")
    found = kj.check_gradients((w * w * w).sum(), wrt=[w])
    assert found and "w" in str(found)


def test_report_says_where_and_how_much():
    """The text shows the worst place with both numbers."""
    found = str(kj.check_gradients(lambda x: off_by(2.0)(x).sum(), np.array([0.0])))
    assert "DIFFER" in found and "by rule 2, by perturbation 1" in found


def test_vector_results_are_refused():
    """Only a single number has a gradient."""
    x = kj.tensor([1.0, 2.0], dtype="float64")
    with pytest.raises(ShapeError, match="single number"):
        kj.numeric_gradient(x * x, x)
