"""Layers that stand before what learns: they make numbers of raw rows, one family a file."""

from kedja.nn.layers.preprocessing.categories import CategoryEmbedding, CategoryEncoding, OneHot
from kedja.nn.layers.preprocessing.columns import Columns
from kedja.nn.layers.preprocessing.impute import Impute
from kedja.nn.layers.preprocessing.preprocessing import Preprocessing

__all__ = ["CategoryEmbedding", "CategoryEncoding", "Columns", "Impute", "OneHot", "Preprocessing"]
