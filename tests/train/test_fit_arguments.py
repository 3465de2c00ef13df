"""Bad input is refused with what came, what was expected and what to do; and nothing that was there is lost."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, DTypeError, GraphError, KedjaError, ShapeError, UnknownNameError

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 1))
NAN, INF = X.copy(), X.copy()
NAN[4, 2], INF[5, 0] = np.nan, np.inf
LABELS = RNG.integers(0, 3, 12)


def mlp(outputs: int = 1, last: str | None = None) -> kj.Sequential:
    """3-4-outputs."""
    return kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(outputs, last)])


BAD = {
    "no loss": (DataError, {"loss": None}, 'fit needs a loss: loss="mse" for numbers'),
    "loss": (UnknownNameError, {"loss": "mean_square"}, "unknown loss 'mean_square'.|Known: binary_cross"),
    "optimizer": (UnknownNameError, {"optimizer": "adm"}, "unknown optimizer 'adm'. Did you mean 'adam'?"),
    "metric": (UnknownNameError, {"metrics": ["acuracy"]}, "unknown metric 'acuracy'. Did you mean 'accuracy'?"),
    "engine": (UnknownNameError, {"engine": "xxla"}, "unknown engine 'xxla'. Did you mean 'xla'?"),
    "verbose": (UnknownNameError, {"verbose": 7}, "unknown verbose 7"),
    "nan": (DataError, {"x": NAN}, "x has nan at row 4, column 2"),
    "inf": (DataError, {"x": INF}, "x has inf at row 5, column 0"),
    "text": (DataError, {"x": [["a", 1, 2]] * 12}, "x has the text 'a' at row 0, column 0"),
    "nan in y": (DataError, {"y": np.where(np.arange(12)[:, None] == 7, np.nan, Y)}, "y has nan at row 7"),
    "lengths": (DataError, {"y": Y[:9]}, "x has 12 rows and y has 9: there must be one target for each row."),
    "no targets": (DataError, {"y": None}, "x has no targets: give x and y"),
    "empty": (DataError, {"x": X[:0], "y": Y[:0]}, "x is empty: its shape is (0, 3)"),
    "one number": (DataError, {"x": 3.0}, "x is a single value"),
    "row against column": (ShapeError, {"y": Y[:, 0]}, "and the outputs (12, 1); reshape them to (12, 1): y.resh"),
    "wide targets": (ShapeError, {"y": np.ones((12, 2))}, "shape (12, 2) and the outputs (12, 1); they must be"),
    "flat x": (ShapeError, {"x": X[:, 0]}, "a column, x.reshape(-1, 1)|was built for inputs of shape (None, 3)"),
    "batch 0": (DataError, {"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
    "batch -1": (DataError, {"batch_size": -1}, "batch_size must be a whole number of at least 1, got -1"),
    "batch 2.5": (DataError, {"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
    "epochs 0": (DataError, {"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
    "epochs True": (DataError, {"epochs": True}, "epochs must be a whole number of at least 1, got True"),
    "seed": (KedjaError, {"seed": -1}, "a seed is a whole number from 0 to 2**64 - 1, got -1"),
    "validation 1": (DataError, {"validation": 1}, "between 0 and 1, a pair (x, y) or a data set; got 1"),
    "validation 1.5": (DataError, {"validation": 1.5}, "got 1.5"),
    "validation text": (DataError, {"validation": "some"}, "got str"),
    "validation all": (DataError, {"validation": 0.99}, "leave any for training"),
    "validation nan": (DataError, {"validation": (NAN, Y)}, "validation x has nan at row 4"),
    "validation lengths": (DataError, {"validation": (X, Y[:4])}, "validation x has 12 rows and validation y has 4"),
    "weights": (DataError, {"sample_weight": [1, 2]}, "sample_weight needs one number for each of the 12 rows"),
    "weights < 0": (DataError, {"sample_weight": -np.ones(12)}, "must be finite and at least 0; row 0 has -1"),
    "weights 0": (DataError, {"sample_weight": np.zeros(12)}, "0 for every row"),
    "one output": (ShapeError, {"loss": "cross_entropy", "y": LABELS}, "Use 'binary_cross_entropy' for one output"),
    "label 2": (DataError, {"loss": "bce", "y": np.arange(12) % 3}, "targets from 0 to 1, and row 2 of y has 2"),
    "wide x": (ShapeError, {"x": np.ones((12, 5))}, "was built for 3 features and got an input of shape (12, 5)"),
    "deep x": (ShapeError, {"x": np.ones((12, 1, 3))}, "x has shape (12, 1, 3), and the model was built for"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("built", [False, True], ids=["new", "trained"])
def test_bad_input(case, built):
    """A typed error with the words that help; a trained model keeps all it has, a new one stays new."""
    error, changes, message = BAD[case]
    if not built and case in ("wide x", "deep x"):
        return  # a new model takes any width
    net = mlp()
    settings = {"loss": "mse", "optimizer": "sgd", "seed": 3, "engine": "reference"}
    if built:
        net.fit(X, Y, epochs=2, **settings)
        if case == "no loss":
            return  # a second fit knows its loss
    before = _state(net)
    arguments = {"x": X, "y": Y, **settings, **changes}
    with pytest.raises(error) as found:
        net.fit(arguments.pop("x"), arguments.pop("y"), **arguments)
    assert any(part in str(found.value) for part in message.split("|"))
    assert _state(net) == before
    continued, plain = net.fit(X, Y, **settings), mlp()
    plain.fit(X, Y, epochs=3 if built else 1, **settings)
    assert _state(net) == _state(plain) and continued.epoch == [3 if built else 1]


def _state(net) -> list[bytes]:
    """Weights and the optimiser's memory, bit for bit, and the number of epochs."""
    memory = net._training.memory.values() if "_training" in vars(net) else ()
    return [v.numpy().tobytes() for v in (*net.state.values(), *memory)]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]), "label 3 at row 3 (counting from 0) is outside 0..2"),
        (np.array([0, -1] + [1] * 10), "label -1 at row 1 (counting from 0) is outside 0..2"),
        (np.array([1, 2, 3] * 4), "The labels start at 1: subtract 1."),
        (np.array([0.5] + [1.0] * 11), "label 0.5 at row 0 (counting from 0) is not a whole number"),
    ],
)
def test_labels_out_of_range(labels, message):
    """Row and value are named, and the usual mistake."""
    with pytest.raises(DataError) as error:
        mlp(3).fit(X, labels, loss="cross_entropy")
    assert message in str(error.value)


def test_whole_numbers_stored_as_floats_are_labels():
    """Labels read from a file of floats serve."""
    a, b = mlp(3), mlp(3)
    a.fit(X, LABELS.astype(float), loss="cross_entropy", seed=1, engine="reference")
    b.fit(X, LABELS, loss="cross_entropy", seed=1, engine="reference")
    assert _state(a) == _state(b)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ({"lr": 0.1}, "fit() has no argument 'lr': the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)"),
        ({"learning_rate": 0.1}, "the rate belongs to the optimiser"),
        ({"validation_split": 0.1}, "kedja spells it validation=0.1"),
        ({"validation_data": (X, Y)}, "kedja spells it validation=(x, y)"),
        ({"random_state": 1}, "kedja spells it seed="),
        ({"early_stopping": True}, "EarlyStopping"),
        ({"epoch": 3}, "did you mean 'epochs'?"),
        ({"colour": 3}, "it takes x, y, loss, optimizer, epochs, batch_size, validation"),
    ],
)
def test_spellings_of_peers(foreign, message):
    """Arguments that other libraries have are answered with ours."""
    with pytest.raises(TypeError) as error:
        mlp().fit(X, Y, loss="mse", **foreign)
    assert message in str(error.value)


def test_nothing_to_learn():
    """A model that is frozen, or has no parameters, says so."""
    net = mlp()
    net.trainable = False
    with pytest.raises(GraphError, match="every layer is frozen, or none has weights"):
        net.fit(X, Y, loss="mse")


def test_several_outputs_are_not_for_fit():
    """Two outputs need two losses: the message says what to do."""
    x = kj.Input((3,))
    with pytest.raises(GraphError, match="this one has 2. Add up their losses yourself"):
        kj.Model(x, [kj.nn.Dense(1)(x), kj.nn.Dense(1)(x)]).fit(X, Y, loss="mse")


def test_several_inputs():
    """A tuple with one array per input; another number of them is refused."""
    a, b = kj.Input((3,)), kj.Input((1,))
    net = kj.Model([a, b], kj.nn.Dense(1)(kj.nn.Dense(1)(a) + b))
    history = net.fit(
        (X, X[:, :1]), Y, loss="mse", epochs=30, validation=0.25, engine="reference", optimizer=kj.optim.Adam(0.05)
    )
    assert history["loss"][-1] < history["loss"][0] and net.predict((X, X[:, :1])).shape == (12, 1)
    with pytest.raises(DataError, match="the model has 2 inputs and x has 1: give a tuple, one array for each"):
        net.predict(X)
    with pytest.raises(DataError, match="the inputs have 12 and 5 rows"):
        net.predict((X, X[:5, :1]))


def test_data_sets_and_lists():
    """A data set brings its targets along; lists are arrays; 0/1 labels need no column."""
    data = kj.data.load("moons")
    net = mlp(1, "sigmoid")
    assert len(net.fit(data, loss="binary_cross_entropy", validation=data, engine="reference")) == 1
    with pytest.raises(DataError, match="give either a data set or x and y"):
        net.fit(data, Y)
    kj.Sequential([kj.nn.Dense(1)]).fit([[0, 1], [1, 1]], [[0], [1]], loss="mse", engine="reference")


def test_compile_as_keras_has_it():
    """What `compile` was told serves `fit` and `evaluate`; a later `fit` may say otherwise and is then followed."""
    net = mlp().compile(loss="sse", optimizer=kj.optim.SGD(0.01), metrics=["mae"])
    history = net.fit(X, Y, engine="reference")
    assert history.settings["loss"] == "sse" and "mae" in history
    assert set(net.evaluate(X, Y)) == {"loss", "mae"}
    net.fit(X, Y, optimizer=kj.optim.Adam(0.5), engine="reference")
    assert net.fit(X, Y, engine="reference").settings["optimizer"]["learning_rate"] == 0.5


@pytest.mark.parametrize("argument", [{"loss": "msee"}, {"optimizer": "adamm"}, {"metrics": "maee"}])
def test_compile_checks_names(argument):
    """A misspelled name is refused where it is written."""
    with pytest.raises(UnknownNameError):
        mlp().compile(**argument)


def test_train_on_batch_is_one_step():
    """The losses before each step fall, and the steps are those of full batches."""
    a, b = mlp().build((None, 3), seed=0), mlp().build((None, 3), seed=0)
    seen = [
        a.train_on_batch(X, Y, loss="mse", optimizer=kj.optim.SGD(0.1), engine="reference")["loss"] for _ in range(3)
    ]
    history = b.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=3, batch_size=None, engine="reference")
    assert seen == history["loss"].tolist() and seen[2] < seen[0]


def test_a_number_too_large_for_float32():
    """It would become infinite: it is refused, with its place."""
    with pytest.raises(DataError, match="x has 1e[+]300 at row 0, column 0"):
        mlp().fit(np.full((12, 3), 1e300), Y, loss="mse")


def test_mixed_dtypes_are_named():
    """A float64 layer in a float32 model is refused where the two meet."""
    with pytest.raises(DTypeError, match='Dense "dense_2".*float32 and float64'):
        kj.Sequential([kj.nn.Dense(2), kj.nn.Dense(1, dtype="float64")]).fit(X, Y, loss="mse")
