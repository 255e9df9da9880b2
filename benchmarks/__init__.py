"""How fast slides are read, beside other libraries and the codec: ``python -m benchmarks``."""
