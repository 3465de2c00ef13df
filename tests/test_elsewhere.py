"""Keras's and PyTorch's words are answered with ours, and what is said to be ours is."""

import importlib
import inspect

import pytest

import kedja as kj
from kedja import elsewhere
from kedja.errors import KedjaError

nn = kj.nn

FOREIGN = {
    "Keras's Conv2D": (
        lambda: nn.Conv2D(32, kernel_size=3),
        "Conv2D has no argument 'kernel_size': kedja spells it size=",
    ),
    "strides": (lambda: nn.Conv2D(32, 3, strides=2), "kedja spells it stride="),
    "data_format": (lambda: nn.Conv2D(32, 3, data_format="channels_first"), "the channels are the last axis"),
    "kernel_regularizer": (lambda: nn.Conv2D(32, 3, kernel_regularizer="l2"), "kedja spells it regularizer="),
    "pool_size": (lambda: nn.MaxPool2D(pool_size=2), "MaxPool2D has no argument 'pool_size': kedja spells it size="),
    "LSTM's dropout": (
        lambda: nn.LSTM(8, return_sequences=True, dropout=0.2),
        "LSTM has no argument 'dropout': a Dropout",
    ),
    "Embedding's input_dim": (lambda: nn.Embedding(input_dim=9, output_dim=2), "kedja spells it vocabulary="),
    "Dense's input_dim": (lambda: nn.Dense(3, input_dim=9), "found at the first call"),
    "num_heads": (lambda: nn.MultiHeadAttention(num_heads=2, key_dim=4), "kedja spells it heads="),
    "PyTorch's Dropout": (lambda: nn.Dropout(p=0.5), "Dropout has no argument 'p': kedja spells it rate="),
    "PyTorch's Conv2d by position": (
        lambda: nn.Conv2D(3, 32, 3),
        "Conv2D: an activation is a name or a function, got 3.",
    ),
    "PyTorch's Linear by position": (lambda: nn.Dense(3, 4), "PyTorch's Linear(3, 4) is Dense(4)"),
    "batch_first": (lambda: nn.LSTM(8, batch_first=True), "LSTM has no argument 'batch_first': the batch is always"),
    "a near miss": (
        lambda: nn.Dropout(rates=0.5),
        "Dropout has no argument 'rates': did you mean 'rate'? It takes rate,",
    ),
    "ignore_index": (
        lambda: kj.losses.CrossEntropy(ignore_index=-1),
        "CrossEntropy has no argument 'ignore_index': give those",
    ),
    "restore_best_weights": (lambda: kj.callbacks.EarlyStopping(restore_best_weights=True), "kedja spells it restore="),
    "Keras's L2": (lambda: kj.regularizers.L2(l2=0.1), "L2 has no argument 'l2': kedja spells it alpha="),
    "Adam's lr": (lambda: kj.optim.Adam([], lr=0.1), "Adam has no argument 'lr': kedja spells it learning_rate="),
    "run_eagerly": (lambda: kj.Sequential().compile(run_eagerly=True), "compile() has no argument 'run_eagerly'"),
    "predict's batch_size": (
        lambda: kj.Sequential().predict([[1.0]], batch_size=2),
        "predict() has no argument 'batch_size'",
    ),
    "optimizer.step": (lambda: kj.optim.Adam().step(), "Adam has no 'step': net.fit takes the steps"),
    "MaxPooling2D": (lambda: nn.MaxPooling2D(2), "kedja.nn has no 'MaxPooling2D': kedja spells it MaxPool2D(size)"),
    "BatchNormalization": (lambda: nn.BatchNormalization(), "kedja spells it BatchNorm()"),
    "Conv2d": (lambda: nn.Conv2d(3, 32, 3), "kedja.nn has no 'Conv2d': kedja spells it Conv2D(filters, size)"),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), "kedja.nn has no 'MaxPool2d'. Did you mean 'MaxPool2D'?"),
    "Linear": (lambda: nn.Linear(3, 4), "kedja spells it Dense(units)"),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(), "losses live in kj.losses: CrossEntropy()"),
    "kj.Dense": (lambda: kj.Dense(3), "layers live in kj.nn: kj.nn.Dense"),
    "kj.no_grad": (lambda: kj.no_grad(), "kj.grad(loss, parameters) makes the gradients"),
    "StepLR": (lambda: kj.schedules.StepLR(0.1), "kedja spells it StepDecay"),
    "Keras's ModelCheckpoint": (lambda: kj.ModelCheckpoint("run"), "in kj.callbacks: kedja spells it Checkpoint("),
    "kj.EarlyStopping": (lambda: kj.EarlyStopping(), "it lives in kj.callbacks: kj.callbacks.EarlyStopping"),
    "load_model": (lambda: kj.load_model("net"), "kedja has no 'load_model': kedja spells it kj.load(folder)"),
    "train_test_split": (lambda: kj.data.train_test_split([1], [2]), "kedja spells it split(x, y, test=0.2)"),
    "scikit-learn's at the top": (lambda: kj.StandardScaler(), "in kj.data: kedja spells it standardise(x)"),
    "save_weights": (lambda: kj.Sequential([nn.Dense(1)]).save_weights("w"), "kedja spells it save(folder)"),
    "mixed precision": (
        lambda: kj.Sequential([nn.Dense(1)]).fit([[1.0]], [[1.0]], loss="mse", mixed_precision=True),
        'kedja spells it precision="bfloat16"',
    ),
    "accumulation": (
        lambda: kj.Sequential([nn.Dense(1)]).fit([[1.0]], [[1.0]], loss="mse", gradient_accumulation_steps=4),
        "kedja spells it accumulate=",
    ),
    "forward": (
        lambda: type("Net", (kj.Module,), {"forward": lambda self, x: x})()([[1.0]]),
        "its forward is to be named call",
    ),
}  # fmt: skip


@pytest.mark.parametrize("done", FOREIGN)
def test_foreign_spellings(done):
    """Keras's and PyTorch's words are answered with ours."""
    how, words = FOREIGN[done]
    with pytest.raises((TypeError, AttributeError, KedjaError)) as error:
        how()
    assert words in str(error.value)


def test_the_answer_survives_from_import():
    """`from kedja.nn import Linear` says what `kj.nn.Linear` says, and a module below is still found."""
    with pytest.raises(ImportError, match=r"kedja spells it Dense\(units\)"):
        from kedja.nn import Linear  # noqa: F401
    with pytest.raises(ImportError, match=r"layers live in kj.nn: kj.nn.Dense"):
        from kedja import Dense  # noqa: F401
    from kedja.nn import functional

    assert functional.Model is kj.Model and not hasattr(kj.nn, "Linear")


def spelled(answer):
    """The names after "kedja spells it", as far as they are names."""
    word = answer.removeprefix("kedja spells it ")
    return [] if word == answer else [word.split("(")[0].split("=")[0].split(",")[0].removeprefix("kj.").strip()]


@pytest.mark.parametrize("module", elsewhere.NAMES)
def test_what_peers_are_told_exists(module):
    """A name that is said to be ours is ours, in that module or in kj or kj.nn, and what peers call it is not."""
    here = importlib.import_module(module)
    for foreign, answer in elsewhere.NAMES[module].items():
        assert foreign not in here.__all__, foreign
        for name in spelled(answer):
            if name.isidentifier():
                assert name in {*here.__all__, *kj.__all__, *nn.__all__}, (foreign, name)


def test_arguments_peers_are_told_exist():
    """An argument that is said to be ours is an argument of a class of ours."""
    rooms = (nn, kj.losses, kj.regularizers, kj.callbacks, kj.metrics, kj.optim)
    classes = [getattr(room, n) for room in rooms for n in room.__all__ if inspect.isclass(getattr(room, n))]
    ours = {p for cls in classes for base in cls.__mro__ if base is not object
            for p in inspect.signature(base.__init__).parameters}  # fmt: skip
    told = {name: word for name, answer in elsewhere.ARGUMENTS.items() for word in spelled(answer) if "=" in answer}
    assert {name: word for name, word in told.items() if word.isidentifier() and word not in {*ours, "fit"}} == {}
