"""Convolution: in letters, as a matrix, of densities, and what it makes of sizes and of shifts."""
