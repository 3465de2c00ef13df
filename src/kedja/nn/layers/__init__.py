"""The layers, one family a file."""

from kedja.nn.layers import activation, augmentation, config, convolution, dropout, merge, normalization, pooling, shape  # noqa: F401  (lends layers their configuration)
from kedja.nn.layers.activation import *  # noqa: F403  (a class for every activation in the table)
from kedja.nn.layers.attention import MultiHeadAttention, scaled_dot_product_attention
from kedja.nn.layers.augmentation import *  # noqa: F403
from kedja.nn.layers.bidirectional import Bidirectional
from kedja.nn.layers.branches import Branches
from kedja.nn.layers.convolution import *  # noqa: F403
from kedja.nn.layers.dense import Dense, Tied
from kedja.nn.layers.dropout import *  # noqa: F403
from kedja.nn.layers.embedding import Embedding
from kedja.nn.layers.function import Lambda
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.merge import *  # noqa: F403
from kedja.nn.layers.normalization import *  # noqa: F403
from kedja.nn.layers.perceptron import Perceptron
from kedja.nn.layers.pooling import *  # noqa: F403
from kedja.nn.layers.position import LearnedPositionalEncoding, PositionalEncoding
from kedja.nn.layers.preprocessing import CategoryEmbedding, CategoryEncoding, Columns, Impute, OneHot
from kedja.nn.layers.recurrent import GRU, LSTM, SimpleRNN
from kedja.nn.layers.residual import Residual
from kedja.nn.layers.scaling import Denormalize, Normalize, Rescale
from kedja.nn.layers.shape import *  # noqa: F403

__all__ = [
    "Branches",
    "Denormalize",
    "Dense",
    "Embedding",
    "Lambda",
    "Layer",
    "Normalize",
    "Perceptron",
    "Residual",
    "Tied",
]
__all__ += dropout.__all__ + merge.__all__ + normalization.__all__ + shape.__all__
__all__ += [n for n in activation.__all__ if n not in __all__]
__all__ += ["GRU", "LSTM", "Bidirectional", "LearnedPositionalEncoding", "MultiHeadAttention", "PositionalEncoding"]
__all__ += ["SimpleRNN", "scaled_dot_product_attention"]
__all__ += ["CategoryEmbedding", "CategoryEncoding", "Columns", "Impute", "OneHot", "Rescale"]
__all__ += convolution.__all__ + pooling.__all__
__all__ += augmentation.__all__
__all__.sort()
