"""Judges from outside: perturbation, PyTorch, JAX. None of them shares a formula with the code it judges."""
