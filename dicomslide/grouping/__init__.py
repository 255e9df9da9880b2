"""Which images make one slide."""
