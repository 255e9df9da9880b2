"""Tasks that write a store, for any scheduler of dask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import zarr
from dask.delayed import Delayed
from numpy.typing import NDArray

from dicomslide.export.arrays import TreeArray
from dicomslide.export.derived import Derivation
from dicomslide.export.journal import Journal
from dicomslide.export.plan import PROJECT, Plan, PlannedArray
from dicomslide.export.store import naming
from dicomslide.export.stored import StoredArray

__all__ = ["find_done", "make_tasks"]

Graph = dict[Any, Any]
Stored = Mapping[str, StoredArray]


def find_done(stored: Stored, journal: Journal) -> set[int]:
    """Find the blocks that are written and intact, as their numbers in the journal."""
    graph: Graph = {
        (f"check-{array.path}-{journal.writer}", number): (_check, array, number)
        for array in stored.values()
        for number in range(array.grid.num_blocks)
    }
    last = f"checked-{journal.writer}"
    graph[last] = (list, list(graph))
    return {number for number in Delayed(last, graph).compute() if number is not None}


def make_tasks(plan: Plan, stored: Stored, journal: Journal, done: set[int]) -> Delayed:
    """Make the tasks that write missing blocks, and then complete the store.

    One task reads a block, or computes it from a level that is written, and writes it: the number
    of blocks in memory is that of the tasks that run at a time.

    Parameters
    ----------
    plan : Plan
        Plan of the store
    stored : mapping
        Arrays of the store, by their paths
    journal : Journal
        Journal of the blocks that are written
    done : set of int
        Numbers in the journal of the blocks that are written already

    Returns
    -------
    dask.delayed.Delayed
        Last task, whose result is a list of messages on frames that were filled
    """
    graph: Graph = {}
    written: list[Any] = []
    for arrays in plan.arrays.values():
        tasks = [
            _ArrayTasks(f"write-{array.path}-{journal.writer}", array, done) for array in arrays
        ]
        for one in tasks:
            graph[one.target] = stored[one.array.path]
            graph |= one.make(tasks, plan.fill)
            written += [one.key(number) for number in one.todo]
    last = f"complete-{journal.writer}"
    graph[last] = (_complete, plan.without_pixels(), stored, journal, plan.fingerprint, written)
    return Delayed(last, graph)


@dataclass(frozen=True)
class _ArrayTasks:
    """Tasks of one array, whose keys are a name and the number of the block in the array."""

    name: str
    array: PlannedArray
    done: set[int]

    @property
    def target(self) -> str:
        """Key of the array in the graph."""
        return f"array-{self.name}"

    @cached_property
    def todo(self) -> list[int]:
        """Numbers of the blocks that are not written yet."""
        return [n for n in range(self.array.grid.num_blocks) if self.is_todo(n)]

    def is_todo(self, number: int) -> bool:
        """Whether a block is not written yet."""
        return self.array.first + number not in self.done

    def key(self, number: int) -> tuple[str, int]:
        """Return the key of the task that writes a block."""
        return self.name, number

    def make(self, siblings: Sequence["_ArrayTasks"], fill: bool) -> Graph:
        """Make the tasks of the array, with their dependencies."""
        pixels = self.array.level.pixels
        if isinstance(pixels, Derivation):
            return self._derive(pixels, siblings[pixels.level])
        assert pixels is not None
        return self._compute(pixels) if pixels.is_chunked else self._copy(pixels, fill)

    def _copy(self, pixels: TreeArray, fill: bool) -> Graph:
        source = f"pixels-{self.name}"
        graph: Graph = {source: pixels}
        for number in self.todo:
            graph[self.key(number)] = (_copy, self.target, number, source, fill)
        return graph

    def _compute(self, pixels: TreeArray) -> Graph:
        size = self.array.grid.block
        chunked = pixels.to_dask(size)
        sources = {}
        for number in self.todo:
            start = self.array.grid.block_at(number).start
            sources[number] = (chunked.name, *(a // b for a, b in zip(start, size, strict=True)))
        whole = chunked.__dask_graph__()
        graph = dict(chunked.__dask_optimize__(whole, list(sources.values()))) if sources else {}
        for number, source in sources.items():
            graph[self.key(number)] = (_write, self.target, number, source)
        return graph

    def _derive(self, derivation: Derivation, other: "_ArrayTasks") -> Graph:
        graph: Graph = {}
        grid = other.array.grid
        for number in self.todo:
            part = derivation.rule.source(self.array.grid.block_at(number), grid.shape)
            touched = grid.touched(part.start, part.stop)
            before = [other.key(i) for i in touched if other.is_todo(i)]
            graph[self.key(number)] = (
                _derive,
                self.target,
                number,
                derivation,
                other.target,
                before,
            )
        return graph


def _check(array: StoredArray, number: int) -> int | None:
    return array.first + number if array.is_intact(number) else None


def _write(array: StoredArray, number: int, pixels: NDArray, problems: Sequence[str] = ()) -> None:
    array.write(number, pixels, problems)


def _copy(array: StoredArray, number: int, source: TreeArray, fill: bool) -> None:
    _write(array, number, *source.read(array.grid.block_at(number), fill))


def _derive(
    array: StoredArray,
    number: int,
    derivation: Derivation,
    source: StoredArray,
    before: list[None],
) -> None:
    _write(array, number, derivation.read(array.grid.block_at(number), source))


def _complete(
    plan: Plan, stored: Stored, journal: Journal, fingerprint: str, written: list[None]
) -> list[str]:
    """Write the metadata of an OME-Zarr image, those of the root last, and end the journal.

    Returns
    -------
    list of str
        Messages on frames that were filled
    """
    target = journal.target
    with target.held():
        problems = journal.problems()
        for array in stored.values():
            array.require()
        attributes = {path: plan.attributes(path, stored) for path in plan.groups}
        facts = attributes[""].setdefault(PROJECT, {})
        facts["fingerprint"] = fingerprint
        if problems:
            facts["filled_frames"] = problems
        with naming(target.name):
            target.clean()
            group = zarr.open_group(target.place, mode="r+")
            for path, values in attributes.items():
                (group.require_group(path) if path else group).attrs.put(values)
            journal.end(group)
    return problems
