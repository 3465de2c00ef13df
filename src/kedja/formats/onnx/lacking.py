"""What to say of an operator that kedja has not: its name, its node, and what comes nearest."""

from __future__ import annotations

from difflib import get_close_matches

import onnx

__all__ = ["lacking"]

QUANTISED = "kedja computes in floating point: export the model before it is quantised"
DATA_SIZED = "the size of its output depends on the numbers, and kedja's shapes are fixed before it computes"
TREES = "trees and other models of ai.onnx.ml are not networks; train one here, or run them with onnxruntime"
SIGNALS = "kedja has no Fourier transforms: make the spectrum before the model, and cut it off with outputs= or inputs"
TEXT = "turn text into numbers before the model"

NEAREST = {
    **dict.fromkeys(
        (
            "ConvInteger",
            "DequantizeLinear",
            "DynamicQuantizeLinear",
            "MatMulInteger",
            "QLinearConv",
            "QLinearMatMul",
            "QuantizeLinear",
            "QAttention",
            "QGemm",
            "QLinearAdd",
            "QLinearSigmoid",
        ),
        QUANTISED,
    ),
    "Compress": f"{DATA_SIZED}; nearest: Where, which keeps the shape",
    "NonMaxSuppression": f"{DATA_SIZED}; nearest: TopK. Cut the graph before it with kj.onnx.load(…, outputs=…)",
    "NonZero": f"{DATA_SIZED}; nearest: Where, which keeps the shape",
    "Unique": f"{DATA_SIZED}; nearest: TopK of a sorted tensor",
    "Optional": "nearest: Identity; values that may be absent are not kept",
    "OptionalGetElement": "nearest: Identity; values that may be absent are not kept",
    "OptionalHasElement": "nearest: Identity; values that may be absent are not kept",
    **dict.fromkeys(("BlackmanWindow", "DFT", "HammingWindow", "HannWindow", "MelWeightMatrix", "STFT"), SIGNALS),
    **dict.fromkeys(("RegexFullMatch", "StringConcat", "StringSplit", "TfIdfVectorizer"), TEXT),
    "ImageDecoder": "read the picture first: kj.data reads image files",
    **dict.fromkeys(
        ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        "its numbers would be other ones than those of ONNX; nearest: Dropout, or give the draw as an input",
    ),
    "FusedConv": "nearest: Conv and an activation; export without the optimiser's fusions",
    "FusedMatMul": "nearest: MatMul and Mul; export without the optimiser's fusions",
    "SkipLayerNormalization": "nearest: Add and LayerNormalization; export without the optimiser's fusions",
    "MultiHeadAttention": "nearest: MatMul, Softmax, MatMul; export without the optimiser's fusions",
}


def lacking(node: onnx.NodeProto) -> str:
    """The sentence about a node whose operator kedja has not."""
    from kedja.formats.onnx.registry import OPERATORS

    domain = node.domain or "ai.onnx"
    made = next((name for name in node.output if name), "")
    where = f"node {node.name!r}" if node.name else f"the node that makes {made!r}"
    text = f"the ONNX operator {node.op_type} (domain {domain}, {where}) is not among kedja's"
    if node.op_type in NEAREST:
        return f"{text}: {NEAREST[node.op_type]}."
    if domain.startswith("ai.onnx.ml"):
        return f"{text}: {TREES}."
    close = get_close_matches(node.op_type, [name for _, name in OPERATORS], n=1, cutoff=0.5)
    if domain not in ("ai.onnx", "ai.onnx.preview.training"):
        what = f"; the operator {node.op_type} of ONNX itself is" if ("", node.op_type) in OPERATORS else ""
        return (
            f"{text}: kedja reads no operators of the domain {domain!r}{what}. Export with ONNX's own operators only."
        )
    return f"{text}. The nearest by name is {close[0]}." if close else f"{text}. kj.onnx.supported() lists them."
