"""Densities of sums against SciPy's distributions."""

import numpy as np
import pytest
import scipy.stats

import kedja as kj
from kedja.errors import DataError, KedjaError, ShapeError


def test_uniform_and_uniform_make_a_triangle():
    """The density of the sum of two numbers uniform on (0, 1) is the triangle on (0, 2)."""
    one = kj.explain.Density.of(scipy.stats.uniform.pdf, 0, 1, 1000)
    two = one + one
    assert np.abs(two.values - scipy.stats.triang(0.5, scale=2).pdf(two.x)).max() < 1e-12
    assert abs(two.variance - 1 / 6) < 1e-6


@pytest.mark.parametrize(("s", "t"), [(1.0, 1.0), (0.5, 2.0)])
def test_normal_and_normal_make_a_normal(s, t):
    """Normals add up to a normal whose mean and variance are the sums of theirs."""
    p = kj.explain.Density.of(scipy.stats.norm(1, s).pdf, 1 - 8 * s, 1 + 8 * s, int(800 * s))
    q = kj.explain.Density.of(scipy.stats.norm(-3, t).pdf, -3 - 8 * t, -3 + 8 * t, int(800 * t))
    found = p + q
    assert np.abs(found.values - scipy.stats.norm(-2, np.hypot(s, t)).pdf(found.x)).max() < 1e-9
    assert abs(found.mean + 2) < 1e-9 and abs(found.variance - (s * s + t * t)) < 1e-9


def test_many_uniforms_come_near_a_normal():
    """Twelve uniforms, less 6, are normal to 0.01: the central limit; exactly they are the Irwin-Hall density."""
    one = kj.explain.Density.of(scipy.stats.uniform.pdf, 0, 1, 200)
    total = one
    for _ in range(11):
        total = total + one
    assert 1e-4 < np.abs(total.values - scipy.stats.norm(6, 1).pdf(total.x)).max() < 0.01
    if hasattr(scipy.stats, "irwinhall"):
        assert np.abs(total.values - scipy.stats.irwinhall(12).pdf(total.x)).max() < 1e-4


def test_whole_numbers_are_exact():
    """Successes among n and m trials add up to those among n + m: binomials, with a step of 1."""
    n, m, p = 7, 12, 0.3
    with kj.default_dtype("float64"):
        found = kj.explain.density_of_sum(*(scipy.stats.binom(k, p).pmf(np.arange(k + 1)) for k in (n, m))).numpy()
    assert np.abs(found - scipy.stats.binom(n + m, p).pmf(np.arange(n + m + 1))).max() < 1e-15


def test_gradient_flows_through_a_density():
    """The density of a sum is differentiable in both densities."""
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.4])
    with kj.default_dtype("float64"):
        report = kj.check_gradients(lambda p, q: (kj.explain.density_of_sum(p, q, 0.5) ** 2).sum(), p, q)
    assert report.passed, report


def test_ways_to_show_it(tmp_path):
    """A density says its mass, mean and variance, and draws itself."""
    dice = kj.explain.Density(np.full(6, 1 / 6), start=1)
    two = dice + dice
    assert str(two) == "density at 11 places from 2 to 12: mass 1, mean 7, variance 5.83333"
    assert two.to_dict()["start"] == 2 and len(two.plot(tmp_path / "d.svg").axes[0].patches) >= 11


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda d: d([1, -1, 1]), DataError, r"not below 0; values\[1\] is -1"),
        (lambda d: d([1, np.nan]), DataError, r"values\[1\] is nan"),
        (lambda d: d([1, 1]), DataError, "adds up to 1; the 2 numbers of values, 1 apart, make 2"),
        (lambda d: d([]), ShapeError, r"a sequence of values \(n,\), got shape \(0,\)"),
        (lambda d: d([[1.0]]), ShapeError, "a sequence of values"),
        (lambda d: d("one"), DataError, "a sequence of numbers, got 'one'"),
        (lambda d: d([1.0], step=0), DataError, "a number above 0; got 0"),
        (lambda d: d([1.0], start=np.inf), DataError, "start is the place of the first value"),
        (lambda d: d([1.0]) + d([10.0], step=0.1), DataError, "steps 1 and 0.1 cannot be added"),
        (lambda d: d.of(np.sin, 1, 0), DataError, "needs low < high"),
        (lambda d: kj.explain.density_of_sum([1.0], [0.5], 1), DataError, "the 1 numbers of q"),
        (lambda d: kj.explain.density_of_sum([1.0], kj.ones((1, 1))), ShapeError, r"q is a sequence .* \(1, 1\)"),
        (lambda d: kj.explain.density_of_sum([1.0], [1.0], "x"), DataError, "dx is the distance"),
    ],
)
def test_what_is_no_density_is_refused(make, kind, message):
    """Values below 0, another mass than 1, unequal steps and what is no sequence are refused with the reason."""
    with pytest.raises(kind, match=message) as error:
        make(kj.explain.Density)
    assert isinstance(error.value, KedjaError)
