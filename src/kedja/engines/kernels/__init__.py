"""Kernels for the CPU, written as LLVM IR at run time and compiled by llvmlite; `engines/xla` calls them by JAX."""
