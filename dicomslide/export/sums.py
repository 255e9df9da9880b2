"""Stores that compute checksums of chunks when writing, and compare them when reading.

Codecs may not notice damage, and Zarr reads a missing chunk as background.
"""

import zlib
from collections.abc import Mapping

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from dicomslide.errors import StoreError
from dicomslide.export.ranges import range_of

__all__ = ["Checker", "Recorder"]


class Recorder(WrapperStore[Store]):
    """Store that records the checksums of chunks or shards that are written.

    Parameters
    ----------
    store : zarr.abc.store.Store
        Store that is written
    keys : sequence of str
        Keys of the chunks or shards

    Attributes
    ----------
    sums : dict
        CRC-32 of each chunk or shard; 0 where nothing was stored
    """

    def __init__(self, store: Store, keys: list[str]) -> None:
        super().__init__(store)
        self.sums = dict.fromkeys(keys, 0)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value; None for the keys to be written, whose old values may be damaged."""
        return None if key in self.sums else await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Write a value, and record its checksum."""
        await super().set(key, value)
        if key in self.sums:
            self.sums[key] = _sum(value)


class Checker(WrapperStore[Store]):
    """Store that reads chunks or shards as a whole, and checks them.

    Parameters
    ----------
    store : zarr.abc.store.Store
        Store that is read
    name : str
        Name of the array in messages
    sums : mapping
        CRC-32 of the value of each key; 0 where nothing is stored
    """

    def __init__(self, store: Store, name: str, sums: Mapping[str, int]) -> None:
        super().__init__(store)
        self._name, self._sums = name, sums
        self._values: dict[str, Buffer | None] = {}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value or a part of it.

        Raises
        ------
        StoreError
            When a chunk or shard is missing or damaged
        """
        if key not in self._sums:
            return await super().get(key, prototype, byte_range)
        if key not in self._values:
            value = await super().get(key, prototype)
            if (0 if value is None else _sum(value)) != self._sums[key]:
                fault = "is missing" if value is None else "is damaged"
                raise StoreError(f"{self._name}: {key} {fault}; resume the export to mend it")
            # Shards are kept, as their chunks are read one by one
            self._values[key] = value
        value = self._values[key]
        return None if value is None else value[range_of(byte_range)]


def _sum(value: Buffer) -> int:
    return zlib.crc32(value.to_bytes())
