"""The way out: a model as ONNX, safetensors, a state dict of PyTorch, NumPy arrays, or a program with NumPy alone."""

from kedja.formats.export.writing import FORMATS, Exported, export

__all__ = ["FORMATS", "Exported", "export"]
