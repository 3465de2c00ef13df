"""Writing models as ONNX: a traced inference graph, op by op, as ONNX nodes; writers stand in files by family."""
