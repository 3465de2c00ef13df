"""The XLA engine: graphs compiled through JAX for CPU, GPU and TPU. JAX is loaded when this engine is first used."""

import atexit

from kedja.engines.xla.leaving import leave

atexit.register(leave)
