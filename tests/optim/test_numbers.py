"""Numbers an optimiser cannot work with are refused, when it is made and when they are set; so are foreign names."""

import pytest

import kedja as kj
from kedja.errors import DataError
from kedja.optim import SGD, Adadelta, Adagrad, Adam, AdamW, GradientDescent, Lion, Momentum, Nesterov, RMSProp


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0), "learning_rate must be a number above 0, got 0"),
        (lambda: SGD(-0.1), "learning_rate must be a number above 0, got -0.1"),
        (lambda: Adam(float("nan")), "learning_rate must be a number above 0, got nan"),
        (lambda: Adam(float("inf")), "learning_rate must be a number above 0, got inf"),
        (lambda: Adam("0.1"), "learning_rate must be a number above 0, got '0.1'"),
        (lambda: Adam(True), "learning_rate must be a number above 0, got True"),
        (lambda: Adagrad(None), "learning_rate must be a number above 0, got None"),
        (lambda: Momentum(0.1, 1.0), "momentum must be at least 0 and below 1, got 1.0"),
        (lambda: Nesterov(0.1, -0.1), "momentum must be at least 0 and below 1, got -0.1"),
        (lambda: SGD(0.1, momentum=-0.5), "momentum must be at least 0 and below 1, got -0.5"),
        (lambda: RMSProp(rho=1.5), "rho must be at least 0 and below 1, got 1.5"),
        (lambda: RMSProp(momentum="high"), "momentum must be at least 0 and below 1, got 'high'"),
        (lambda: RMSProp(centered=1), "centered is True or False, got 1"),
        (lambda: Adadelta(epsilon=-1e-6), "epsilon must be a number above 0, got -1e-06"),
        (lambda: Adam(0.1, beta_2=1), "beta_2 must be at least 0 and below 1, got 1"),
        (lambda: Adam(0.1, epsilon=0), "epsilon must be a number above 0, got 0"),
        (lambda: Adam(0.1, amsgrad="yes"), "amsgrad is True or False, got 'yes'"),
        (lambda: AdamW(weight_decay=-1), "weight_decay must be a number of at least 0, got -1"),
        (lambda: Lion(weight_decay=float("nan")), "weight_decay must be a number of at least 0, got nan"),
        (lambda: SGD(layer_rates=[0.1]), 'layer_rates is a dict from layer to factor, as in {"dense_1": 0.1}; got'),
        (lambda: SGD(layer_rates={"a": -1}), "layer_rates['a'] must be a number of at least 0, got -1"),
        (lambda: SGD(layer_rates={1: 0.5}), "layer_rates is a dict from layer to factor"),
        (lambda: kj.optim.get(Adam), "Adam is a class: write kj.optim.Adam(), with brackets"),
    ],
)
def test_impossible_numbers(make, message):
    """Each is refused by name, with what came and what was expected."""
    with pytest.raises(DataError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1),
        ("momentum", 2),
        ("clip_norm", 0),
        ("clip_value", 1),
        ("average", 3),
        ("layer_rates", {"a": None}),
    ],
)
def test_numbers_set_afterwards(name, value):
    """Setting an attribute asks the same as making the optimiser, and a refused number changes nothing."""
    rule = Momentum(0.1, clip_norm=1.0)
    before = repr(rule)
    with pytest.raises(DataError, match=name):
        setattr(rule, name, value)
    assert repr(rule) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(lr=0.1), "SGD has no argument 'lr': kedja spells it learning_rate="),
        (lambda: Adam(betas=(0.9, 0.99)), "kedja spells them beta_1= and beta_2="),
        (lambda: Adam(eps=1e-7), "kedja spells it epsilon="),
        (lambda: SGD(0.1, nesterov=True), "is an optimiser of its own: kj.optim.Nesterov(learning_rate, momentum)"),
        (lambda: SGD(0.1, clipnorm=1.0), "kedja spells it clip_each_norm= (each parameter's gradient apart)"),
        (lambda: SGD(0.1, clipvalue=1.0), "kedja spells it clip_value="),
        (lambda: SGD(0.1, global_clipnorm=1.0), "kedja spells it clip_norm="),
        (lambda: SGD(0.1, weight_decay=1e-4), "kj.optim.AdamW(weight_decay=) or Lion; a penalty on the loss"),
        (lambda: RMSProp(alpha=0.99), "beta_1=, beta_2= or rho="),
        (lambda: Adam(use_ema=True), "kedja spells it average=0.999"),
        (lambda: Adagrad(lr_decay=0.1), "a falling rate is a schedule, given as learning_rate="),
        (lambda: Adam(maximize=True), "to raise something, lower its negative"),
        (lambda: Adam(beta_3=0.1), "did you mean 'beta_"),
        (lambda: GradientDescent(zzz=1), "it takes learning_rate, clip_value, clip_norm, clip_each_norm"),
    ],
)
def test_spellings_of_peers(make, message):
    """Arguments that peers name otherwise are answered with our names, others with the nearest of ours."""
    with pytest.raises(TypeError) as error:
        make()
    assert message in str(error.value)
