"""A slide as a Zarr store that holds no pixels: chunks are decoded when they are asked for."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import MemoryStore

from dicomslide.export.grid import Division
from dicomslide.export.plan import Plan, make_plan
from dicomslide.export.ranges import range_of
from dicomslide.export.virtual_arrays import VirtualArray, drop_blocks, make_virtual_arrays
from dicomslide.processes import make_lock
from dicomslide.slide import Slide

__all__ = ["VirtualStore", "as_zarr"]

Sizes = int | tuple[int, int] | tuple[int, int, int, int] | None

_ATTRIBUTES = {2: ".zattrs", 3: "zarr.json"}


def as_zarr(
    slide_or_tree: Slide | xr.DataTree,
    *,
    version: Literal["0.4", "0.5", "0.6"] = "0.5",
    chunks: Sizes = None,
    levels: Literal["stored", "dyadic"] = "stored",
    labels: bool = True,
    associated: bool = False,
) -> "VirtualStore":
    """View a slide as an OME-Zarr image, without copying it.

    The store has the arrays and the metadata that `to_ome_zarr` writes with ``compressor="none"``.
    Frames are decoded when chunks of them are read. Chunks are not compressed: this would take
    time on one side and again on the other one, and save nothing, as they are stored nowhere.

    Parameters
    ----------
    slide_or_tree : Slide or xarray.DataTree
        Slide, or the tree of one. A part of the levels or of a level will do, and pixels that were
        computed from those of the slide
    version : {"0.5", "0.4", "0.6"}, optional
        Version of OME-Zarr: 0.4 is Zarr 2, the others are Zarr 3
    chunks : int or tuple of int, optional
        Size of a chunk: one for rows and columns, (rows, columns) or (c, z, y, x). By default whole
        frames of one channel and focal plane, close to 512 by 512
    levels : {"stored", "dyadic"}, optional
        Whether the levels are those of the slide, or those of factors 1, 2, 4, …, of which missing
        ones are computed each time that they are read
    labels : bool, optional
        Whether segments and label maps are there
    associated : bool, optional
        Whether LABEL and OVERVIEW images are there. Label images show patient data, and an overview
        may show the label

    Returns
    -------
    VirtualStore
        Store that zarr, and what is built on it, can read. Nothing is decoded yet

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When an argument has no possible value, or the slide has no optical paths
    """
    # The smallest blocks of whole chunks and whole frames
    division = Division(Division.of(chunks, None).chunks, block_bytes=1)
    return VirtualStore(
        make_plan(
            slide_or_tree,
            version=version,
            division=division,
            compressor="none",
            levels=levels,
            labels=labels,
            associated=associated,
        )
    )


class VirtualStore(Store):
    """A Zarr store of a slide that decodes chunks when they are asked for: see `as_zarr`.

    It is read-only. It may be used from any thread, and pickled: a copy in another process opens
    the files of the slide again.

    Parameters
    ----------
    plan : Plan
        What the store holds
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(read_only=True)
        self.plan = plan
        self._name = plan.fingerprint
        self._documents: dict[str, Buffer] = {}
        plan.create_arrays(zarr.create_group(self._memory, zarr_format=plan.format))
        self._unfinished = dict.fromkeys(plan.groups)
        self._prepare()

    def _prepare(self) -> None:
        self._arrays = make_virtual_arrays(self.plan, self._name)
        self._lock = make_lock()

    @property
    def _memory(self) -> MemoryStore:
        """The metadata, as zarr writes them."""
        return MemoryStore(self._documents)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = self.__dict__.copy()
            state |= {"_documents": dict(self._documents), "_unfinished": dict(self._unfinished)}
        del state["_arrays"], state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._prepare()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VirtualStore) and other._identity == self._identity

    @property
    def _identity(self) -> tuple[Any, ...]:
        """What tells pixels and metadata from those of others."""
        images = [(i.name, i.displays, i.label and i.label.meaning) for i in self.plan.images]
        return self._name, images

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f"VirtualStore({self.plan.images[0].name!r}, version={self.plan.version!r})"

    def __str__(self) -> str:
        return f"dicomslide://{self._name}"

    def read(self, key: str, part: slice = slice(None)) -> memoryview | None:
        """Read a value, on this thread.

        Parameters
        ----------
        key : str
            Key
        part : slice, optional
            Which of its bytes are read

        Returns
        -------
        memoryview or None
            Its bytes; None where there is no such key

        Raises
        ------
        FrameError
            When a frame cannot be decoded
        SourceError
            When frames cannot be read
        """
        found = self._find_chunk(key)
        if found is not None:
            array, index = found
            pixels = array.chunk(index)
            order = pixels.dtype if self.plan.format == 2 else pixels.dtype.newbyteorder("<")
            plain = np.ascontiguousarray(pixels, order).reshape(-1)
            return plain.view(np.uint8).data.toreadonly()[part]
        self._finish(key)
        document = self._documents.get(key)
        return None if document is None else memoryview(document.to_bytes())[part]

    @property
    def mapping(self) -> Mapping[str, bytes]:
        """The values by their keys, for readers that take no store, such as ngff-zarr."""
        return _Values(self)

    def has(self, key: str) -> bool:
        """Whether there is a value; it is not read."""
        return key in self._documents or self._find_chunk(key) is not None

    def size(self, key: str) -> int | None:
        """Number of bytes of a value, of which no pixels are read; None if there is no such key."""
        found = self._find_chunk(key)
        if found is not None:
            return found[0].chunk_bytes
        document = self.read(key)
        return None if document is None else len(document)

    def list_keys(self, prefix: str = "") -> Iterator[str]:
        """List the keys that begin with a prefix."""
        return self._walk(prefix.rpartition("/")[0], prefix)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value, on another thread."""
        part = range_of(byte_range)
        value = await asyncio.to_thread(self.read, key, part)
        if value is None:
            return None
        return prototype.buffer.from_array_like(np.frombuffer(value, np.uint8))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Read parts of values."""
        wanted = (self.get(key, prototype, part) for key, part in key_ranges)
        return list(await asyncio.gather(*wanted))

    async def exists(self, key: str) -> bool:
        """Whether there is a value; it is not read."""
        return self.has(key)

    async def getsize(self, key: str) -> int:
        """Get the number of bytes of a value; no pixels are read.

        Raises
        ------
        FileNotFoundError
            When there is no such key
        """
        size = await asyncio.to_thread(self.size, key)
        if size is None:
            raise FileNotFoundError(key)
        return size

    async def list(self) -> AsyncIterator[str]:
        """List all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the keys that begin with a prefix."""
        for key in self.list_keys(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the names that follow a prefix up to the next slash."""
        for name in self._names(prefix.rstrip("/")):
            yield name

    @property
    def supports_listing(self) -> bool:
        """True: keys can be listed."""
        return True

    @property
    def supports_writes(self) -> bool:
        """False: nothing can be written."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """False: nothing can be deleted."""
        return False

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002
        """Write nothing.

        Raises
        ------
        ValueError
            Always: the store is read-only
        """
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002
        """Delete nothing.

        Raises
        ------
        ValueError
            Always: the store is read-only
        """
        self._check_writable()

    def close(self) -> None:
        """Keep no decoded pixels any longer. The slide stays open."""
        drop_blocks(self._name)
        super().close()

    def _finish(self, key: str) -> None:
        """Make the metadata of a group when they are asked for: they may need pixels."""
        path, _, name = key.rpartition("/")
        if name != _ATTRIBUTES[self.plan.format] or path not in self._unfinished:
            return
        with self._lock:
            if path not in self._unfinished:
                return
            attributes = self.plan.attributes(path, self._arrays)
            zarr.open_group(self._memory, path=path, mode="r+").attrs.put(attributes)
            del self._unfinished[path]

    def _find_chunk(self, key: str) -> tuple[VirtualArray, tuple[int, ...]] | None:
        """Find the array that a chunk is of, and its index."""
        for array in self._arrays.values():
            index = array.parse(key)
            if index is not None and len(index) == len(array.counts):
                return array, index
        return None

    def _names(self, folder: str) -> Iterator[str]:
        """Names of the values and folders in a folder."""
        start = f"{folder}/" if folder else ""
        known = (*self._documents, *(array.folder for array in self._arrays.values()))
        names = (key[len(start) :].partition("/")[0] for key in known if key.startswith(start))
        yield from dict.fromkeys(names)
        for array in self._arrays.values():
            index = array.parse(folder)
            if index is not None and len(index) < len(array.counts):
                yield from map(str, range(array.counts[len(index)]))

    def _walk(self, folder: str, prefix: str) -> Iterator[str]:
        """List the keys in a folder, and in those that are in it, that begin with a prefix."""
        for name in self._names(folder):
            key = f"{folder}/{name}" if folder else name
            if not key.startswith(prefix):
                continue
            if self.has(key):
                yield key
            else:
                yield from self._walk(key, prefix)


class _Values(Mapping[str, bytes]):
    """The values of a virtual store by their keys."""

    def __init__(self, store: VirtualStore) -> None:
        self._store = store

    def __getitem__(self, key: str) -> bytes:
        value = self._store.read(key)
        if value is None:
            raise KeyError(key)
        return bytes(value)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._store.has(key)

    def __iter__(self) -> Iterator[str]:
        return self._store.list_keys()

    def __len__(self) -> int:
        return sum(1 for _ in self)
