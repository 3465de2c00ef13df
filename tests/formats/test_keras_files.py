"""Files of Keras: their models made of our layers, and their weights in models of ours, with the same outputs."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kedja as kj
from kedja.errors import FormatError, KedjaError

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
from keras import layers as kl

CLOSE = 1e-5


def functional() -> Any:
    a, b = keras.Input((6,)), keras.Input((4,))
    shared = kl.Dense(5, activation="tanh")
    left, right = shared(a), shared(kl.Dense(6)(b))
    return keras.Model([a, b], kl.Dense(2, activation="softmax")(kl.Concatenate()([kl.Add()([left, right]), right, a])))


def row(*layers: Any, shape: tuple[int, ...]) -> Callable[[], Any]:
    return lambda: keras.Sequential([keras.Input(shape), *(make() for make in layers)])


MODELS: dict[str, Callable[[], Any]] = {
    "dense": row(lambda: kl.Dense(5, activation="relu", name="first"), lambda: kl.Dropout(0.3),
                 lambda: kl.Dense(3, activation="softmax"), shape=(4,)),
    "images": row(lambda: kl.Conv2D(4, 3, padding="same", strides=2), lambda: kl.BatchNormalization(),
                  lambda: kl.Activation("relu"), lambda: kl.MaxPooling2D(), lambda: kl.Flatten(), lambda: kl.Dense(3),
                  shape=(9, 8, 3)),
    "more images": row(lambda: kl.DepthwiseConv2D(3, depth_multiplier=2), lambda: kl.SeparableConv2D(4, 2),
                       lambda: kl.Conv2DTranspose(3, 2, strides=2), lambda: kl.AveragePooling2D(2),
                       lambda: kl.ZeroPadding2D(1), lambda: kl.GlobalAveragePooling2D(), shape=(8, 8, 2)),
    "steps": row(lambda: kl.Conv1D(4, 3, dilation_rate=2), lambda: kl.LSTM(5, return_sequences=True), lambda: kl.GRU(3),
                 lambda: kl.LayerNormalization(), lambda: kl.Dense(2), shape=(9, 3)),
    "both ways": row(lambda: kl.Bidirectional(kl.LSTM(3, return_sequences=True)),
                     lambda: kl.Bidirectional(kl.GRU(2), merge_mode="sum"), shape=(5, 3)),
    "recurrent without": row(lambda: kl.GRU(3, reset_after=False, return_sequences=True),
                             lambda: kl.SimpleRNN(4, use_bias=False), shape=(5, 3)),
    "words": row(lambda: kl.Embedding(7, 4), lambda: kl.LSTM(3), lambda: kl.Dense(1, activation="sigmoid"), shape=(5,)),
    "two inputs, a shared layer": functional,
    "a model inside": row(lambda: keras.Sequential([keras.Input((4,)), kl.Dense(3, activation="tanh"), kl.Dense(2)]),
                          lambda: kl.Reshape((2, 1)), lambda: kl.Flatten(), lambda: kl.Dense(3), shape=(4,)),
}  # fmt: skip


def filled(name: str) -> tuple[Any, list[Any]]:
    """The model with weights as after some training, and inputs."""
    keras.utils.set_random_seed(2)
    model, rng = MODELS[name](), np.random.default_rng(0)
    for v in model.weights:
        if v.dtype.startswith("float"):
            v.assign(rng.uniform(0.3, 1.0, v.shape) if "variance" in v.path else rng.normal(0, 0.5, v.shape))
    shapes = [tuple(t.shape[1:]) for t in model.inputs]
    if name == "words":
        return model, [rng.integers(0, 7, (4, *shapes[0]))]
    return model, [rng.normal(size=(4, *s)).astype(np.float32) for s in shapes]


@pytest.mark.parametrize("name", MODELS)
def test_a_keras_file_gives_the_same_outputs_here(name: str, tmp_path: Path) -> None:
    """Architecture, weights and settings such as ε come over; Keras itself is the judge."""
    model, xs = filled(name)
    model.save(tmp_path / "m.keras")
    net = kj.load(tmp_path / "m.keras")
    wanted = keras.ops.convert_to_numpy(model(xs if len(xs) > 1 else xs[0], training=False))
    assert np.abs(net.predict(tuple(xs) if len(xs) > 1 else xs[0]) - wanted).max() < CLOSE


@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
def test_weights_alone_go_into_a_model_of_ours(ending: str, tmp_path: Path) -> None:
    """Layers are counted class by class, as Keras counts them in its files."""
    model, (x,) = filled("steps")
    path = tmp_path / f"m.{ending}"
    model.save_weights(path) if ending == "weights.h5" else model.save(path)
    L = kj.nn
    net = kj.Sequential(
        [L.Conv1D(4, 3, dilation=2), L.LSTM(5, return_sequences=True), L.GRU(3), L.LayerNorm(epsilon=1e-3), L.Dense(2)]
    ).build((None, 9, 3))
    report = net.load_weights(path)
    assert report.ok and report.layout == "keras"
    assert np.abs(net.predict(x) - keras.ops.convert_to_numpy(model(x))).max() < CLOSE


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    """The names are those in the file."""
    model, _ = filled("dense")
    model.save_weights(tmp_path / "m.weights.h5")
    net = kj.Sequential([kj.nn.Dense(5), kj.nn.Dense(2), kj.nn.Dense(2)]).build((None, 4))
    with pytest.raises(FormatError, match="nothing was loaded") as caught:
        net.load_weights(tmp_path / "m.weights.h5")
    report = caught.value.report  # type: ignore[attr-defined]
    assert set(report.missing) == {"dense_3.kernel", "dense_3.bias"} or report.mis_shaped
    assert "layers/dense" in str(report)


def packed(path: Path, config: Any, weights: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str | bytes) else json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    return path


def sequential(*layers: Any) -> dict[str, Any]:
    start = {"class_name": "InputLayer", "config": {"batch_shape": [None, 2], "name": "x"}}
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [start, *layers]}}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ({"class_name": "os.system", "config": {}}, "os.system"),
        (sequential({"class_name": "Lambda", "config": {"name": "l", "function": "print"}}), "Lambda"),
        (sequential({"class_name": "Dense", "config": {"name": "d"}}), "cannot be understood"),
        (sequential({"class_name": "Dense", "config": {"name": "d", "units": -1, "activation": None,
                                                             "use_bias": True}}), "cannot be understood"),
        (sequential({"class_name": "Dense", "config": {"name": "d", "units": 2, "activation": None, "use_bias": True}}),
         "cannot be read as a file of Keras"),
    ],
    ids=["cut", "deep", "class", "lambda", "incomplete", "negative", "no-weights"],
)  # fmt: skip
def test_damaged_and_foreign_files_are_refused(config: Any, words: str, tmp_path: Path) -> None:
    """Nothing of a file is executed, and each message names it."""
    with pytest.raises(FormatError, match=f"m.keras.*{words}"):
        kj.load(packed(tmp_path / "m.keras", config))


def test_a_zip_that_claims_more_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    """The size of a member is checked against what can be packed before it is unpacked."""
    path = packed(tmp_path / "m.keras", "{}", b"x")
    blob = bytearray(path.read_bytes())
    at = blob.find(b"PK\x01\x02", blob.find(b"PK\x01\x02") + 1)
    blob[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(blob)
    net = kj.Sequential([kj.nn.Dense(2)]).build((None, 2))
    with pytest.raises(FormatError, match="claims"):
        net.load_weights(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    """HDF5 and zip alike, wherever it ends."""
    model, _ = filled("dense")
    net = kj.Sequential([kj.nn.Dense(5), kj.nn.Dense(3)]).build((None, 4))
    for ending in ("keras", "weights.h5"):
        path = tmp_path / f"m.{ending}"
        model.save(path) if ending == "keras" else model.save_weights(path)
        blob = path.read_bytes()
        for share in (0.0, 0.1, 0.5, 0.9):
            path.write_bytes(blob[: int(share * len(blob))])
            with pytest.raises(KedjaError):
                net.load_weights(path)


def test_the_older_h5_says_its_order_itself(tmp_path: Path) -> None:
    """Files of Keras 1 and 2, as its applications still publish, list layers and weights in attributes."""
    import h5py

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [b"z_first", b"nothing", b"a_second"]
        file.create_group("nothing").attrs["weight_names"] = []
        for name, w in (("z_first", a), ("a_second", b)):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = w, np.zeros(w.shape[1], np.float32)
    (tmp_path / "old.h5").write_bytes(buffer.getvalue())
    net = kj.Sequential([kj.nn.Dense(4), kj.nn.Dense(2)]).build((None, 3))
    net.load_weights(tmp_path / "old.h5")
    assert np.array_equal(net.layers[0].kernel.numpy(), a) and np.array_equal(net.layers[1].kernel.numpy(), b)
