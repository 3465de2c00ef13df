"""Large networks on a GPU: kedja, hand-written JAX and PyTorch. The command is `python bench/gpu.py`."""
