"""Sources of encoded frames: one module for each kind of place that keeps them."""
