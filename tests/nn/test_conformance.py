"""Every layer of the registry, held to what is asked of all (conformance.py) by the cases that stand beside it."""

import sys

import pytest

import kedja as kj
from kedja.nn.layers.layer import LAYERS
from nn import conformance
from nn.layer_cases import Case, all_cases, listed

CASES = all_cases()
LISTED = listed()
EVERY = pytest.mark.parametrize(("cls", "i"), LISTED)
FIRST = pytest.mark.parametrize(
    ("cls", "i"), [pytest.param(c, i, marks=[pytest.mark.long] if i else []) for c, i in LISTED]
)


def case_of(cls: str, i: int) -> Case:
    """The case, and with it that the layer it makes is the one it stands under."""
    case = CASES[cls][i]
    assert type(case.make()).__name__ == cls
    return case


def test_every_layer_has_a_case():
    """A layer that joins the registry joins the tests."""
    assert kj.nn  # loads them all
    # An example in a docstring may have registered a layer that stands in no module.
    own = {n for n, cls in LAYERS.items() if hasattr(sys.modules[cls.__module__], cls.__name__)}
    missing = {n for n in own if not n.startswith("_")} - set(CASES)
    assert not missing, f"no case for {sorted(missing)}: see tests/nn/layer_cases.py"


def test_every_case_is_of_a_layer():
    """No case is left of a layer that went away or was renamed."""
    assert set(CASES) <= set(LAYERS)


@EVERY
def test_output_and_gradients_equal_the_oracle(cls, i, judged):
    """In float64, with the layer's weights carried over."""
    case = case_of(cls, i)
    judged(case.judge, f"layers/{cls}", 1, conformance.equals_oracle(case))


@pytest.mark.parametrize(("cls", "i"), [(c, i) for c, i in LISTED if CASES[c][i].trained])
def test_training_output_equals_the_oracle(cls, i, judged):
    """What is computed with training=True, its gradients included."""
    case = case_of(cls, i)
    judged(f"{case.judge}, training", f"layers/{cls}", 1, conformance.equals_oracle(case, training=True))


@EVERY
def test_every_parameter_learns(cls, i):
    """A gradient that is not 0 reaches every parameter."""
    conformance.every_parameter_learns(case_of(cls, i))


@pytest.mark.parametrize(("cls", "i"), [(c, i) for c, i in LISTED if CASES[c][i].smooth])
def test_gradients_equal_perturbation(cls, i):
    """The rules against moving one number at a time, for parameters and inputs."""
    conformance.equals_perturbation(case_of(cls, i))


@EVERY
def test_shapes_and_types(cls, i):
    """Known before computing, and of the type computed in; float32 gives what float64 gives."""
    conformance.keeps_its_dtype(case_of(cls, i))


@pytest.mark.parametrize(("cls", "i"), [(c, i) for c, i in LISTED if CASES[c][i].rows])
def test_any_number_of_rows(cls, i):
    """One row or none."""
    conformance.takes_any_number_of_rows(case_of(cls, i))


@pytest.mark.parametrize(("cls", "i"), [(c, i) for c, i in LISTED if CASES[c][i].wrong])
def test_wrong_shapes_are_refused(cls, i):
    """With the layer's class at the head of the message."""
    conformance.refuses_wrong_shapes(case_of(cls, i), cls)


@EVERY
def test_training_and_inference(cls, i):
    """They differ only where and how they should."""
    conformance.training_and_inference(case_of(cls, i))


@pytest.mark.parametrize(("cls", "i"), [(c, i) for c, i in LISTED if CASES[c][i].mask is not None])
def test_masked_steps_do_not_matter(cls, i):
    """Padding has no influence, whatever stands there."""
    conformance.ignores_what_is_masked(case_of(cls, i))


@EVERY
def test_configuration_round_trip(cls, i):
    """Made again from plain data, and the same."""
    conformance.round_trip(case_of(cls, i))


@EVERY
def test_save_and_load(cls, i, tmp_path):
    """The same predictions from files."""
    conformance.saves_and_loads(case_of(cls, i), tmp_path / "model")


@FIRST
def test_engines_agree(cls, i):
    """Reference and XLA, forward and backward, in float32."""
    conformance.engines_agree(case_of(cls, i), "float32")


@pytest.mark.long
@EVERY
def test_engines_agree_in_float64(cls, i):
    """The same to 1e-9."""
    conformance.engines_agree(case_of(cls, i), "float64")
