"""Small ONNX models, numbers for them, and what onnxruntime makes of them."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(31)


def drawn(*shape):
    """Normal numbers, float32."""
    return RNG.normal(size=shape).astype(np.float32)


def model_of(nodes, weights, x=("n", 2), y=2, opset=21):
    """A model x → y with these weights."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * y)],
            [numpy_helper.from_array(v, k) for k, v in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )


def by_onnxruntime(model, *xs):
    """What onnxruntime computes."""
    session = onnxruntime.InferenceSession(
        model if isinstance(model, str) else model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {i.name: x for i, x in zip(session.get_inputs(), xs, strict=True)})


def worst(a, b):
    """The largest difference, against the largest entry."""
    return float(np.abs(np.asarray(a) - b).max() / max(1.0, np.abs(b).max()))
