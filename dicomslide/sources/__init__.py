"""Where the encoded frames are: one module for each kind of place."""
