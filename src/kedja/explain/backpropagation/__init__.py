"""One training step seen whole: forward, backward, update, the chain of one weight, the stepper, runs side by side."""
