"""The walks of `bench.deepnets` as users of other frameworks would write them. Only trainers may import this."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import layouts
from bench.deepnets import EPSILON, MOMENTUM, DeepNet, Tree

__all__ = ["JaxOps", "KerasOps", "from_torch", "onnx_file", "to_torch", "torch_network"]

Array = NDArray[Any]


# --- PyTorch --------------------------------------------------------------------------------------------------------
def to_torch(tree: Tree) -> dict[str, Array]:
    """The weights by name as PyTorch lays them."""
    return dict(zip(tree, layouts.to_torch(tree.values()), strict=True))


def from_torch(tree: dict[str, Array]) -> dict[str, Array]:
    """The way back."""
    return dict(zip(tree, layouts.from_torch(tree.values()), strict=True))


def torch_network(net: DeepNet) -> Any:
    """The walk as a module with the starting weights; relu and sums in place, as torchvision has them."""
    import torch
    from torch.nn import functional as F

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, w in to_torch(net.start()).items():
                if "running" in name:
                    self.register_buffer(_key(name), torch.tensor(w))
                else:
                    self.register_parameter(_key(name), torch.nn.Parameter(torch.tensor(w)))

        def forward(self, x: Any) -> Any:
            return net.walk(self, x)

        def named(self, name: str) -> Any:
            return getattr(self, _key(name))

        def conv(
            self, x: Any, name: str, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
        ) -> Any:
            return F.conv2d(
                x, self.named(f"{name}.weight"), self.named(f"{name}.bias") if bias else None, stride, padding
            )

        def norm(self, x: Any, name: str) -> Any:
            leaves = ("running_mean", "running_var", "weight", "bias")
            mean, variance, scale, shift = (self.named(f"{name}.{leaf}") for leaf in leaves)
            return F.batch_norm(x, mean, variance, scale, shift, self.training, 1 - MOMENTUM, EPSILON)

        def relu(self, x: Any) -> Any:
            return F.relu_(x)

        def add(self, x: Any, y: Any) -> Any:
            return x.add_(y)

        def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
            return F.max_pool2d(x, size, stride, padding)

        def mean(self, x: Any) -> Any:
            return x.mean((2, 3))

        def flatten(self, x: Any) -> Any:
            return x.flatten(1)

        def dense(self, x: Any, name: str, units: int) -> Any:
            return F.linear(x, self.named(f"{name}.weight"), self.named(f"{name}.bias"))

    return Network()


def _key(name: str) -> str:
    """A module's parameters have no dots in their names."""
    return name.replace(".", "_")


# --- JAX ------------------------------------------------------------------------------------------------------------
class JaxOps:
    """Written by hand on jax.lax. In training, `moved` collects the new running statistics."""

    def __init__(self, weights: Any, training: bool) -> None:
        self.weights, self.training = weights, training
        self.moved: dict[str, Any] = {}

    def conv(
        self, x: Any, name: str, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
    ) -> Any:
        from jax import lax

        margins = [(padding, padding)] * 2
        y = lax.conv_general_dilated(
            x, self.weights[f"{name}.weight"], (stride, stride), margins, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y + self.weights[f"{name}.bias"] if bias else y

    def norm(self, x: Any, name: str) -> Any:
        from jax import lax

        scale, shift, mean, variance = (
            self.weights[f"{name}.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        if self.training:
            n = x.size // x.shape[-1]
            seen_mean, seen_variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            self.moved[f"{name}.running_mean"] = MOMENTUM * mean + (1 - MOMENTUM) * seen_mean
            self.moved[f"{name}.running_var"] = MOMENTUM * variance + (1 - MOMENTUM) * seen_variance * n / (n - 1)
            mean, variance = seen_mean, seen_variance
        factor = scale * lax.rsqrt(variance + EPSILON)
        return x * factor + (shift - mean * factor)

    def relu(self, x: Any) -> Any:
        import jax

        return jax.nn.relu(x)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        from jax import lax

        margins = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
        return lax.reduce_window(x, -np.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), margins)

    def mean(self, x: Any) -> Any:
        return x.mean((1, 2))

    def flatten(self, x: Any) -> Any:
        return x.reshape(len(x), -1)

    def dense(self, x: Any, name: str, units: int) -> Any:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


# --- Keras ----------------------------------------------------------------------------------------------------------
class KerasOps:
    """Layers of the functional API; those with weights are kept by name."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def conv(
        self, x: Any, name: str, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
    ) -> Any:
        import keras

        same = stride == 1 and padding == size // 2
        if padding and not same:  # "same" pads strided windows at the end alone
            x = keras.layers.ZeroPadding2D(padding)(x)
        layer = keras.layers.Conv2D(filters, size, stride, "same" if same else "valid", use_bias=bias)
        return self._keep(name, layer)(x)

    def norm(self, x: Any, name: str) -> Any:
        import keras

        return self._keep(name, keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON))(x)

    def relu(self, x: Any) -> Any:
        import keras

        return keras.layers.ReLU()(x)

    def add(self, x: Any, y: Any) -> Any:
        import keras

        return keras.layers.Add()([x, y])

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        import keras

        if padding:  # of a relu's output: 0 is no larger than any of it
            x = keras.layers.ZeroPadding2D(padding)(x)
        return keras.layers.MaxPooling2D(size, stride)(x)

    def mean(self, x: Any) -> Any:
        import keras

        return keras.layers.GlobalAveragePooling2D()(x)

    def flatten(self, x: Any) -> Any:
        import keras

        return keras.layers.Flatten()(x)

    def dense(self, x: Any, name: str, units: int) -> Any:
        import keras

        return self._keep(name, keras.layers.Dense(units))(x)

    def variables(self, names: list[str]) -> list[Any]:
        """Those of our names, in their order."""
        attributes = {
            "weight": ("kernel", "gamma"), "bias": ("bias", "beta"), "running_mean": ("moving_mean",),
            "running_var": ("moving_variance",),
        }  # fmt: skip
        found = []
        for name in names:
            layer, _, leaf = name.rpartition(".")
            found.append(next(v for a in attributes[leaf] if (v := getattr(self.made[layer], a, None)) is not None))
        return found

    def _keep(self, name: str, layer: Any) -> Any:
        self.made[name] = layer
        return layer


# --- ONNX -----------------------------------------------------------------------------------------------------------
def onnx_file(net: DeepNet) -> bytes:
    """The walk as ONNX writes networks by PyTorch: channels first, one node a layer, batch norm for inference."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    weights = to_torch(net.start())

    class Writing:
        def conv(
            self, x: str, name: str, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
        ) -> str:
            inputs = [x, f"{name}.weight"] + ([f"{name}.bias"] if bias else [])
            window = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
            return write("Conv", inputs, **window)

        def norm(self, x: str, name: str) -> str:
            leaves = ("weight", "bias", "running_mean", "running_var")
            return write("BatchNormalization", [x, *(f"{name}.{leaf}" for leaf in leaves)], epsilon=EPSILON)

        def relu(self, x: str) -> str:
            return write("Relu", [x])

        def add(self, x: str, y: str) -> str:
            return write("Add", [x, y])

        def max_pool(self, x: str, size: int, stride: int, padding: int = 0) -> str:
            return write("MaxPool", [x], kernel_shape=[size] * 2, strides=[stride] * 2, pads=[padding] * 4)

        def mean(self, x: str) -> str:
            return self.flatten(write("GlobalAveragePool", [x]))

        def flatten(self, x: str) -> str:
            return write("Flatten", [x])

        def dense(self, x: str, name: str, units: int) -> str:
            return write("Gemm", [x, f"{name}.weight", f"{name}.bias"], transB=1)

    def write(kind: str, inputs: list[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"v{len(nodes)}"], **attributes))
        return f"v{len(nodes) - 1}"

    end = net.walk(Writing(), "image")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [net.batch, 3, net.size, net.size])
    output = helper.make_tensor_value_info(end, TensorProto.FLOAT, [net.batch, net.classes])
    tensors = [numpy_helper.from_array(w, name) for name, w in weights.items()]
    graph = helper.make_graph(nodes, net.zoo, [image], [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found: bytes = model.SerializeToString()
    return found
