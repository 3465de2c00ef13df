"""Paths through graphs, and what derivatives cost: forward and reverse mode, perturbation, counted operations."""
