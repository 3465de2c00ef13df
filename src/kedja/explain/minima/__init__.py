"""Minima, maxima and saddle points of functions, and where gradient descent goes among them."""
