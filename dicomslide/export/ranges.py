"""The parts of values that readers of Zarr ask for."""

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest

__all__ = ["range_of"]


def range_of(byte_range: ByteRequest | None) -> slice:
    """Turn a request for a part of a value into an index of its bytes.

    Raises
    ------
    ValueError
        When it is no such request
    """
    match byte_range:
        case None:
            return slice(None)
        case RangeByteRequest(start, end):
            return slice(start, end)
        case OffsetByteRequest(offset):
            return slice(offset, None)
        case SuffixByteRequest(suffix):
            return slice(-suffix, None)
    raise ValueError(f"Unexpected byte_range, got {byte_range}.")
