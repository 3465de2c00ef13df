"""kedja: a neural-network library and workbench in which everything can be seen and nothing is slow.

A program builds a computational graph; differentiation turns it into another graph; an engine runs it.
"""

from kedja import data, nn, optim
from kedja.diff import *  # noqa: F403
from kedja.engines import compile
from kedja.graph import *  # noqa: F403
from kedja.nn import Input, Model, Module, Sequential, activations, initializers, losses
from kedja.ops import *  # noqa: F403
from kedja.ops import random
from kedja.train import History
