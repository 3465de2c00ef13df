"""Training: the loop, what it records and what it shows."""
