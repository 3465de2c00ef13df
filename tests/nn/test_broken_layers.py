"""The conformance helper finds what it is there to find: layers that are wrong in one respect each."""

import numpy as np
import pytest
import torch

import kedja as kj
from nn import conformance
from nn.layer_cases import Case


@kj.custom_gradient
def badly(x):
    """The identity, said to have the slope 2."""
    return x * 1.0, lambda g: 2.0 * g


class Steep(kj.nn.Layer):
    """A wrong derivative."""

    def call(self, x):
        return badly(x)


class Narrow(kj.nn.Layer):
    """Computes in float32 whatever comes."""

    def call(self, x):
        return kj.cast(kj.cast(x, "float32"), x.dtype)


class Promoting(kj.nn.Layer):
    """Gives float64 for float32."""

    def call(self, x):
        return kj.cast(x, "float64")


class Mixing(kj.nn.Layer):
    """The output of a row depends on the others."""

    def call(self, x):
        return x - kj.mean(x, 0, keepdims=True)


class Deaf(kj.nn.Layer):
    """Has a parameter and does not use it."""

    def build(self, x):
        self.bias = self.parameter("bias", x[-1:], "zeros")

    def call(self, x):
        return x * 1.0


class Noisy(kj.nn.Layer):
    """Draws in inference too."""

    def call(self, x, *, training):
        return x + kj.random.normal(kj.random.key(int(training)), x.shape, dtype=x.dtype)


class Open(kj.nn.Layer):
    """Does not heed its mask."""

    def call(self, x, mask):
        return kj.cumsum(x, 1)


def case(cls, **how):
    """A case whose judge says: the identity."""
    return Case(cls, (4, 3), lambda w, x: x * 1, **how)


def steps(rng, shape):
    """A mask that is not all ones."""
    return np.tril(np.ones(shape, bool))[:, ::-1]


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (conformance.equals_oracle, case(Steep)),
        (conformance.equals_oracle, Case(Mixing, (4, 3), lambda w, x: x * 1)),
        (conformance.equals_oracle, Case(Narrow, (4, 3), lambda w, x: x * 1)),
        (conformance.equals_oracle, Case(Deaf, (4, 3), lambda w, x: torch.add(x, w["bias"]))),
        (conformance.equals_perturbation, case(Steep)),
        (conformance.keeps_its_dtype, case(Promoting)),
        (conformance.takes_any_number_of_rows, case(Mixing)),
        (conformance.every_parameter_learns, case(Deaf)),
        (conformance.training_and_inference, case(Noisy)),
        (conformance.training_and_inference, case(Deaf, training="random")),
        (conformance.training_and_inference, case(Deaf, training="batch")),
        (
            conformance.ignores_what_is_masked,
            Case(Open, [(3, 3, 2), (3, 3)], None, mask=1, draws=[lambda r, s: r.normal(size=s), steps]),
        ),
    ],
)
def test_what_is_wrong_is_found(check, broken):
    """The check that is meant for the fault fails on it."""
    with pytest.raises(AssertionError):
        check(broken)
