"""The XLA engine: graphs compiled through JAX for CPU, GPU and TPU. JAX is loaded when this engine is first used."""
