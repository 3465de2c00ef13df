"""How peers name what we name otherwise, and the errors that say so: a newcomer's first words are in another dialect.

`NAMES` is for things looked up in a module of ours (`kj.nn.Linear`), `ARGUMENTS` for what constructors are given.
Only an error ever reads them.
"""

from __future__ import annotations

import difflib
import dis
import inspect
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from types import FrameType
from typing import Any

__all__ = ["ARGUMENTS", "METHODS", "NAMES", "Answering", "missing", "refused", "takes_only"]

_AXES = "the last axis is the channels here, and their number is found at the first call"

NAMES: dict[str, dict[str, str]] = {
    "kedja": {
        "abs": "kedja spells it kj.absolute, and abs(x) works on tensors",
        "Activation": "layers live in kj.nn: kj.nn.Activation",
        "array": "kedja spells it kj.tensor",
        "avg_pool": "kedja spells it kj.mean_pool",
        "cat": "kedja spells it kj.concatenate",
        "concat": "kedja spells it kj.concatenate",
        "constant": "kedja spells it kj.tensor",
        "conv1d": "kj.conv serves any number of axes: it is the kernel's that count",
        "conv2d": "kj.conv serves any number of axes: it is the kernel's that count",
        "conv3d": "kj.conv serves any number of axes: it is the kernel's that count",
        "GradientTape": "gradients are graphs: kj.grad(loss, parameters)",
        "keras": "the layers live in kj.nn, models are kj.Sequential and kj.Model",
        "layers": "the layers live in kj.nn",
        "lr_scheduler": "kedja spells it kj.schedules",
        "manual_seed": "there is no global seed: give it where it is meant, net.fit(..., seed=1) or kj.random.key(1)",
        "models": "models are kj.Sequential, kj.Model and kj.Module",
        "no_grad": "nothing is recorded unless asked for: kj.grad(loss, parameters) makes the gradients",
        "optimizers": "kedja spells it kj.optim",
        "permute": "kedja spells it kj.transpose(x, axes)",
        "rand": "kedja spells it kj.random.uniform(kj.random.key(0), shape)",
        "randn": "kedja spells it kj.random.normal(kj.random.key(0), shape)",
        "reduce_mean": "kedja spells it kj.mean",
        "reduce_sum": "kedja spells it kj.sum",
        "set_seed": "there is no global seed: give it where it is meant, net.fit(..., seed=1) or kj.random.key(1)",
        "unsqueeze": "kedja spells it kj.expand_dims",
        "var": "kedja spells it kj.variance",
    },
    "kedja.nn": {
        "AdaptiveAvgPool1d": "for one value a channel there is GlobalAveragePool()",
        "AdaptiveAvgPool2d": "for one value a channel there is GlobalAveragePool()",
        "AdaptiveMaxPool2d": "for one value a channel there is GlobalMaxPool()",
        "AveragePooling1D": "kedja spells it AveragePool1D(size)",
        "AveragePooling2D": "kedja spells it AveragePool2D(size)",
        "AveragePooling3D": "kedja spells it AveragePool3D(size)",
        "AvgPool1d": "kedja spells it AveragePool1D(size)",
        "AvgPool2d": "kedja spells it AveragePool2D(size)",
        "AvgPool3d": "kedja spells it AveragePool3D(size)",
        "BatchNorm1d": f"one BatchNorm() serves any number of axes; {_AXES}",
        "BatchNorm2d": f"one BatchNorm() serves any number of axes; {_AXES}",
        "BatchNorm3d": f"one BatchNorm() serves any number of axes; {_AXES}",
        "BatchNormalization": "kedja spells it BatchNorm()",
        "BCELoss": 'losses live in kj.losses: BinaryCrossEntropy(), or loss="binary_cross_entropy"',
        "BCEWithLogitsLoss": "losses live in kj.losses: BinaryCrossEntropy(), which sees whether a sigmoid came before",
        "Conv1d": f"kedja spells it Conv1D(filters, size); {_AXES}",
        "Conv1DTranspose": "kedja spells it ConvTranspose1D",
        "Conv2d": f"kedja spells it Conv2D(filters, size); {_AXES}",
        "Conv2DTranspose": "kedja spells it ConvTranspose2D",
        "Conv3d": f"kedja spells it Conv3D(filters, size); {_AXES}",
        "Conv3DTranspose": "kedja spells it ConvTranspose3D",
        "ConvLSTM2D": "there is none; a Conv2D on each frame, then an LSTM, often serves",
        "Cropping1D": "kedja spells it Crop(width)",
        "Cropping2D": "kedja spells it Crop(width)",
        "CrossEntropyLoss": 'losses live in kj.losses: CrossEntropy(), or loss="cross_entropy"',
        "Dropout1d": "kedja spells it Dropout(rate, shared_axes=1), which drops whole channels",
        "Dropout2d": "kedja spells it Dropout(rate, shared_axes=(1, 2)), which drops whole channels",
        "EmbeddingBag": "Embedding followed by GlobalAveragePool() gives the mean of the vectors",
        "GlobalAveragePool2D": "one GlobalAveragePool() serves any number of axes",
        "GlobalAveragePooling1D": "one GlobalAveragePool() serves any number of axes",
        "GlobalAveragePooling2D": "one GlobalAveragePool() serves any number of axes",
        "GlobalAveragePooling3D": "one GlobalAveragePool() serves any number of axes",
        "GlobalAvgPool2D": "one GlobalAveragePool() serves any number of axes",
        "GlobalMaxPool2D": "one GlobalMaxPool() serves any number of axes",
        "GlobalMaxPooling1D": "one GlobalMaxPool() serves any number of axes",
        "GlobalMaxPooling2D": "one GlobalMaxPool() serves any number of axes",
        "GlobalMaxPooling3D": "one GlobalMaxPool() serves any number of axes",
        "GroupNormalization": "kedja spells it GroupNorm(groups)",
        "InputLayer": "none is needed: the shape is found at the first call; net.build((None, 784)) says it earlier",
        "L1Loss": 'losses live in kj.losses: MAE(), or loss="mae"',
        "LayerNormalization": "kedja spells it LayerNorm()",
        "Linear": "kedja spells it Dense(units); the width of the input is found at the first call",
        "LSTMCell": "kedja spells it LSTM(units); `return_sequences`, `return_state` say what it gives back",
        "Masking": "a mask is a second input of the layers that heed one: kj.nn.LSTM(8)(x, mask)",
        "MaxPooling1D": "kedja spells it MaxPool1D(size)",
        "MaxPooling2D": "kedja spells it MaxPool2D(size)",
        "MaxPooling3D": "kedja spells it MaxPool3D(size)",
        "ModuleList": "a plain list stored in `self` is enough: its layers are found",
        "MSELoss": 'losses live in kj.losses: MSE(), or loss="mse"',
        "MultiheadAttention": "kedja spells it MultiHeadAttention(heads)",
        "NLLLoss": "losses live in kj.losses: CrossEntropy(), which sees whether a softmax came before",
        "Normalization": "kedja spells it Normalize()",
        "Parameter": "it lives a room higher: kj.Parameter; in a layer, self.parameter(name, shape)",
        "relu": "functions of tensors: kj.relu, or kj.activations.relu",
        "RepeatVector": "Reshape((1, features)) and then Upsample(n) repeat a row n times",
        "Rescaling": "kedja spells it Normalize(), or Lambda(lambda x: x / 255.0)",
        "RNN": "kedja spells it SimpleRNN(units), LSTM(units), GRU(units)",
        "SpatialDropout1D": "kedja spells it Dropout(rate, shared_axes=1)",
        "SpatialDropout2D": "kedja spells it Dropout(rate, shared_axes=(1, 2))",
        "SpatialDropout3D": "kedja spells it Dropout(rate, shared_axes=(1, 2, 3))",
        "TimeDistributed": "Dense works on the last axis of anything, so nothing need be wrapped around it",
        "Transformer": "its parts are there: MultiHeadAttention, PositionalEncoding, LayerNorm, Residual",
        "Unflatten": "kedja spells it Reshape(shape)",
        "UpSampling2D": "kedja spells it Upsample(size); ConvTranspose2D(filters, size, stride=2) learns to",
        "ZeroPad2d": 'kedja spells it Pad(width); convolutions pad by themselves with padding="same" or numbers',
        "ZeroPadding1D": 'kedja spells it Pad(width); convolutions pad by themselves with padding="same" or numbers',
        "ZeroPadding2D": 'kedja spells it Pad(width); convolutions pad by themselves with padding="same" or numbers',
    },
    "kedja.nn.losses": {
        "BCELoss": "kedja spells it BinaryCrossEntropy()",
        "BCEWithLogitsLoss": "kedja spells it BinaryCrossEntropy(), which sees whether a sigmoid came before",
        "BinaryCrossentropy": "kedja spells it BinaryCrossEntropy()",
        "CategoricalCrossentropy": "kedja spells it CrossEntropy(), for labels and for one-hot rows",
        "CrossEntropyLoss": "kedja spells it CrossEntropy()",
        "HuberLoss": "kedja spells it Huber(delta)",
        "KLDivLoss": "kedja spells it KLDivergence()",
        "L1Loss": "kedja spells it MAE()",
        "MeanAbsoluteError": "kedja spells it MAE()",
        "MeanSquaredError": "kedja spells it MSE()",
        "mse": "kedja spells it MSE()(targets, outputs)",
        "MSELoss": "kedja spells it MSE()",
        "NLLLoss": "kedja spells it CrossEntropy(), which sees whether a softmax came before",
        "SmoothL1Loss": "kedja spells it Huber(delta)",
        "SparseCategoricalCrossentropy": "kedja spells it CrossEntropy(), for labels and for one-hot rows",
    },
    "kedja.nn.regularizers": {
        "l1": "kedja spells it L1(alpha)",
        "l1_l2": "kedja spells it Elastic(l1, l2)",
        "L1L2": "kedja spells it Elastic(l1, l2)",
        "l2": "kedja spells it L2(alpha)",
    },
    "kedja.nn.constraints": {"NonNeg": "kedja spells it NonNegative()"},
    "kedja.nn.initializers": {
        "KaimingNormal": "kedja spells it HeNormal()",
        "KaimingUniform": "kedja spells it HeUniform()",
        "RandomNormal": "kedja spells it Normal()",
        "RandomUniform": "kedja spells it Uniform()",
        "VarianceScaling": "kedja spells its cases HeNormal(), GlorotUniform(), LeCunNormal() and the like",
        "XavierNormal": "kedja spells it GlorotNormal()",
        "XavierUniform": "kedja spells it GlorotUniform()",
    },
    "kedja.optim": {
        "ASGD": 'the mean of the weights is an option of every optimiser: average="mean"',
        "Ftrl": 'there is none; for sparse weights see regularizer="l1"',
        "lr_scheduler": "kedja spells it kj.schedules, given in place of the rate: SGD(kj.schedules.Cosine(0.1, 1000))",
    },
    "kedja.optim.schedules": {
        "CosineAnnealingLR": "kedja spells it Cosine(rate, steps)",
        "CosineAnnealingWarmRestarts": "kedja spells it CosineRestarts(rate, steps)",
        "CosineDecay": "kedja spells it Cosine(rate, steps)",
        "CosineDecayRestarts": "kedja spells it CosineRestarts(rate, steps)",
        "ExponentialDecay": "kedja spells it Exponential",
        "ExponentialLR": "kedja spells it Exponential",
        "InverseTimeDecay": "kedja spells it InverseTime",
        "LambdaLR": "make a class from Schedule and define formula(self, k)",
        "LinearLR": "kedja spells it WarmUp",
        "MultiStepLR": "kedja spells it Piecewise",
        "OneCycleLR": "kedja spells it OneCycle",
        "PiecewiseConstantDecay": "kedja spells it Piecewise",
        "PolynomialDecay": "kedja spells it Polynomial",
        "ReduceLROnPlateau": "it depends on the run and so is a callback: kj.callbacks.ReduceOnPlateau()",
        "SequentialLR": "kedja spells it Chain",
        "StepLR": "kedja spells it StepDecay",
    },
    "kedja.train.callbacks": {
        "CSVLogger": "the figures of a run are in the History that fit returns",
        "LambdaCallback": "make a class from Callback and define after_epoch(self, run, epoch, figures)",
        "LearningRateScheduler": "a schedule is given in place of the rate: SGD(kj.schedules.Cosine(0.1, 1000))",
        "ModelCheckpoint": "net.save(path) in a Callback's after_epoch(self, run, epoch, figures) does it",
        "ReduceLROnPlateau": "kedja spells it ReduceOnPlateau()",
        "TensorBoard": "the figures of a run are in the History that fit returns",
    },
    "kedja.train.metrics": {
        "AUC": "kedja spells it ROCAUC()",
        "CategoricalAccuracy": 'kedja spells it Accuracy(), or "accuracy"',
        "ConfusionMatrix": "kedja spells it Confusion()",
        "F1Score": "kedja spells it F1()",
        "MeanAbsoluteError": 'kedja spells it "mae"',
        "MeanSquaredError": 'kedja spells it "mse"',
        "R2Score": "kedja spells it R2()",
        "RootMeanSquaredError": "kedja spells it RMSE()",
        "SparseCategoricalAccuracy": 'kedja spells it Accuracy(), or "accuracy"',
        "TopKCategoricalAccuracy": "kedja spells it TopK(k)",
    },
}
"""By module, what peers call things that stand there, or that one would look for there."""

_DROPOUT = "a Dropout layer before or after it does it: kj.Sequential([kj.nn.Dropout(0.2), ...])"
_FOUND = "the width of the input is found at the first call; net.build((None, 784)) says it earlier"

ARGUMENTS = {
    "activity_regularizer": "penalties are on weights: regularizer=",
    "affine": "kedja spells it scale= and center=",
    "batch_first": "the batch is always the first axis: (N, steps, features)",
    "bias": "kedja spells it use_bias=",
    "bias_constraint": "constraints are on kernels: constraint=",
    "bias_initializer": "kedja spells it bias_init=",
    "bias_regularizer": "penalties are on kernels: regularizer=",
    "bidirectional": "kedja spells it kj.nn.Bidirectional(kj.nn.LSTM(8))",
    "data_format": "the channels are the last axis, (N, height, width, channels): transpose images that differ",
    "depth_multiplier": "kedja spells it multiplier=",
    "dilation_rate": "kedja spells it dilation=",
    "dropout": _DROPOUT,
    "elementwise_affine": "kedja spells it scale= and center=",
    "embed_dim": "the number of features is found at the first call: MultiHeadAttention(heads)",
    "embedding_dim": "kedja spells it units=",
    "embeddings_initializer": "kedja spells it init=",
    "embeddings_regularizer": "kedja spells it regularizer=",
    "eps": "kedja spells it epsilon=",
    "go_backwards": "kedja spells it reverse=",
    "hidden_size": "kedja spells it units=",
    "ignore_index": "give those rows the weight 0: fit(..., sample_weight=w), or loss(targets, outputs, weights)",
    "in_channels": "the channels of the input are found at the first call: Conv2D(filters, size)",
    "in_features": "the width of the input is found at the first call; net.build((None, 784)) says it earlier",
    "inplace": "tensors never change: nothing is done in place",
    "input_dim": "the width of the input is found at the first call; net.build((None, 784)) says it earlier",
    "input_length": "the shape of the input is found at the first call",
    "input_shape": "the shape of the input is found at the first call; net.build((None, 784)) says it earlier",
    "input_size": _FOUND,
    "kdim": "the number of features is found at the first call",
    "kernel_constraint": "kedja spells it constraint=",
    "kernel_initializer": "kedja spells it init=",
    "kernel_regularizer": "kedja spells it regularizer=",
    "kernel_size": "kedja spells it size=",
    "key_dim": "kedja spells it head_units=",
    "mask_zero": "a mask is a second input of the layers that heed one: kj.nn.LSTM(8)(embedded, tokens != 0)",
    "min_delta": "kedja spells it tolerance=",
    "mode": "whether larger is better is known by the figure's name",
    "negative_slope": "kedja spells it slope=",
    "noise_shape": "kedja spells it shared_axes=",
    "normalized_shape": "the last axis is normalised; kedja spells others axis=",
    "num_channels": "the number of channels is found at the first call",
    "num_embeddings": "kedja spells it vocabulary=",
    "num_features": "the number of features is found at the first call",
    "num_groups": "kedja spells it groups=",
    "num_heads": "kedja spells it heads=",
    "num_layers": "layers are stacked one by one; all but the last need return_sequences=True",
    "out_channels": "kedja spells it filters=",
    "out_features": "kedja spells it units=",
    "output_dim": "kedja spells it units=",
    "p": "kedja spells it rate=",
    "padding_idx": "give a mask to the layers that heed one: kj.nn.LSTM(8)(embedded, tokens != 0)",
    "padding_mode": "zeros are padded; a kj.nn.Pad layer before it can pad otherwise",
    "pool_size": "kedja spells it size=",
    "recurrent_dropout": _DROPOUT,
    "recurrent_initializer": "kedja spells it recurrent_init=",
    "recurrent_regularizer": 'regularizer= is on the kernel; fit(..., regularizer="l2") is on both matrices',
    "return_attention_scores": "kedja spells it return_weights=",
    "seed": "the seed belongs to the run, net.fit(..., seed=1), or to a call, layer(x, key=kj.random.key(1))",
    "stateful": "give the state on: return_state=True, and y, *state = layer(x, mask, *state)",
    "stddev": "kedja spells it std=",
    "strides": "kedja spells it stride=",
    "track_running_stats": "they are always kept; layer.trainable = False holds them still",
    "unroll": "the loop over the steps is one node of the graph, whatever its length",
    "value_dim": "kedja spells it value_units=",
    "vdim": "kedja spells it value_units=",
    "vocab_size": "kedja spells it vocabulary=",
    "BinaryCrossEntropy.pos_weight": 'kedja spells it fit(..., class_weight={0: 1, 1: 5}) or class_weight="balanced"',
    "CrossEntropy.weight": 'kedja spells it fit(..., class_weight={0: 1, 1: 5}) or class_weight="balanced"',
    "EarlyStopping.restore_best_weights": "kedja spells it restore=",
    "Embedding.embeddings_constraint": "kedja spells it constraint=",
    "Embedding.input_dim": "kedja spells it vocabulary=",
    "L1.l1": "kedja spells it alpha=",
    "L2.l2": "kedja spells it alpha=",
    "ReduceOnPlateau.min_lr": "kedja spells it least=",
}
"""What peers call arguments: for one class, as Class.argument, or for all."""

METHODS = {
    "batch_size": "rows are taken in batches by themselves",
    "jit_compile": "everything is compiled; engine= chooses how",
    "loss_weights": "add the losses up in a function of your own, loss=f",
    "optimizer_params": "give the optimiser as an object, optimizer=kj.optim.Adam(0.01)",
    "return_dict": "the figures are a dict always",
    "run_eagerly": 'nothing is run here; fit(..., engine="reference") walks the graph node by node',
    "steps": "all rows are taken",
    "verbose": "it says nothing",
    "weighted_metrics": "metrics heed sample_weight= by themselves",
}
"""What peers give to a model's `compile`, `evaluate` and `predict`."""


def missing(
    module: str, name: str, ours: Iterable[str], answer: str | None = None
) -> AttributeError | ImportError:  # fmt: skip
    """The error for a name that a module of ours does not have: what we call it, else the nearest there is.

    An ImportError for the line `from kedja.nn import Linear`, where Python would drop the words of an AttributeError.

    >>> str(missing("kedja.nn", "Linear", []))
    "kedja.nn has no 'Linear': kedja spells it Dense(units); the width of the input is found at the first call"
    >>> str(missing("kedja.nn", "Dens", ["Dense", "Dot"]))
    "kedja.nn has no 'Dens'. Did you mean 'Dense'?"
    """
    text = f"{module} has no {name!r}"
    if name.startswith("_"):
        return AttributeError(text)
    answer = answer or NAMES.get(module, {}).get(name)
    if answer is None:
        same = {known.lower(): known for known in ours}
        near = difflib.get_close_matches(name.lower(), same, 1, 0.7)
        text += f". Did you mean {same[near[0]]!r}?" if near else ""
    else:
        text += f": {answer}"
    return ImportError(text) if _importing(sys._getframe(2)) else AttributeError(text)


def _importing(frame: FrameType) -> bool:
    """Whether what this frame is just doing is `from … import …`."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]


def refused(cls: type, given: Iterable[str], error: TypeError) -> TypeError:
    """The error for arguments that a class does not take: our spelling of a peer's, else the names there are."""
    names: list[str] = []
    for base in cls.__mro__:  # where a class hands **options on, those of the next one count too
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in names]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    unknown = [name for name in given if name not in names]
    takes = f"it takes {', '.join(names)}" if names else "it takes none"
    if not unknown:
        return TypeError(f"{cls.__name__}: {error}; {takes}")
    answer = ARGUMENTS.get(f"{cls.__name__}.{unknown[0]}") or ARGUMENTS.get(unknown[0])
    if answer is None:
        near = difflib.get_close_matches(unknown[0], names, 1)
        answer = f"did you mean {near[0]!r}? {takes[0].upper()}{takes[1:]}" if near else takes
    return TypeError(f"{cls.__name__} has no argument {unknown[0]!r}: {answer}")


class Answering:
    """A class whose constructors, and those of the classes made from it, answer a wrong argument in our words.

    >>> class Loss(Answering):
    ...     def __init__(self, delta=1.0):
    ...         self.delta = delta
    >>> Loss(ignore_index=-1)
    Traceback (most recent call last):
    TypeError: Loss has no argument 'ignore_index': give those rows the weight 0: ...
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _answering(cls.__init__)  # type: ignore[method-assign]


def takes_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, answering an argument it does not take with those it does; it is called by its public name."""
    signature = inspect.signature(function)
    names = list(signature.parameters)[1:]

    @wraps(function)
    def answered(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name not in signature.parameters:
                hint = METHODS.get(name, f"it takes {', '.join(names)}")
                raise TypeError(f"{function.__name__.strip('_')}() has no argument {name!r}: {hint}")
        return function(*args, **kwargs)

    return answered


def _answering(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)

    @wraps(init)
    def answered(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise refused(type(self), kwargs, error) from None
        init(self, *args, **kwargs)

    return answered
