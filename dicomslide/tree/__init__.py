"""Trees of labelled arrays of slides, and the engine of xarray that opens them."""
