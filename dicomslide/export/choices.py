"""Values that options of an export may have, for use without importing Zarr."""

__all__ = ["COMPRESSORS", "ERRORS", "LEVELS", "VERSIONS"]

COMPRESSORS = ("blosc", "zstd", "gzip", "none")
ERRORS = ("raise", "fill")
LEVELS = ("stored", "dyadic")
VERSIONS = ("0.4", "0.5", "0.6")
