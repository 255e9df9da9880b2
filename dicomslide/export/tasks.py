"""The tasks that write a store, for any scheduler of dask."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import zarr
from dask.delayed import Delayed
from numpy.typing import NDArray

from dicomslide.export.arrays import TreeArray
from dicomslide.export.derived import Derivation
from dicomslide.export.grid import Block
from dicomslide.export.plan import Plan, PlannedArray
from dicomslide.export.store import Journal, Target, writing

__all__ = ["make_tasks"]

Graph = dict[Any, Any]


def make_tasks(plan: Plan, group: zarr.Group, journal: Journal, target: Target) -> Delayed:
    """Make the tasks that write what is not written yet, and then complete the store.

    Each block is read, or computed from a level that is written, and written by one task: so many
    blocks are in memory as there are tasks at a time.

    Parameters
    ----------
    plan : Plan
        What is written
    group : zarr.Group
        Group with all arrays
    journal : Journal
        Which blocks are written
    target : Target
        Where the store is

    Returns
    -------
    dask.delayed.Delayed
        Its result is a list of what was wrong with frames that were filled
    """
    token = uuid.uuid4().hex
    done = journal.done()
    graph: Graph = {f"journal-{token}": journal}
    written: list[Any] = []
    for arrays in plan.arrays.values():
        tasks = [
            _ArrayTasks(f"write-{array.path}-{token}", array, f"journal-{token}", done)
            for array in arrays
        ]
        for one in tasks:
            graph[one.target] = group[one.array.path]
            graph |= one.make(tasks, plan.fill)
            written += [one.key(number) for number, _ in one.todo]
    last = f"complete-{token}"
    graph[last] = (_complete, plan.without_pixels(), group, target, plan.fingerprint, written)
    return Delayed(last, graph)


@dataclass(frozen=True)
class _ArrayTasks:
    """The tasks of one array: their key is a name and the number of the block in the array."""

    name: str
    array: PlannedArray
    journal: str
    done: set[int]

    @property
    def target(self) -> str:
        """Key of the array that is written."""
        return f"array-{self.name}"

    @cached_property
    def todo(self) -> list[tuple[int, Block]]:
        """Blocks that are not written yet, and their numbers."""
        return [
            (number, block)
            for number, block in enumerate(self.array.grid.blocks())
            if self.array.first + number not in self.done
        ]

    def key(self, number: int) -> tuple[str, int]:
        """Key of the task that writes a block."""
        return self.name, number

    def make(self, siblings: Sequence["_ArrayTasks"], fill: bool) -> Graph:
        """Make the tasks, with what they need."""
        pixels = self.array.level.pixels
        if isinstance(pixels, Derivation):
            return self._derive(pixels, siblings[pixels.level])
        assert pixels is not None
        return self._compute(pixels) if pixels.is_chunked else self._copy(pixels, fill)

    def _copy(self, pixels: TreeArray, fill: bool) -> Graph:
        source = f"pixels-{self.name}"
        graph: Graph = {source: pixels}
        for number, block in self.todo:
            graph[self.key(number)] = (_copy, *self._start(number, block), source, fill)
        return graph

    def _compute(self, pixels: TreeArray) -> Graph:
        size = self.array.grid.block
        chunked = pixels.to_dask(size)
        sources = {
            number: (chunked.name, *(a // b for a, b in zip(block.start, size, strict=True)))
            for number, block in self.todo
        }
        whole = chunked.__dask_graph__()
        graph = dict(chunked.__dask_optimize__(whole, list(sources.values()))) if sources else {}
        for number, block in self.todo:
            graph[self.key(number)] = (_write, *self._start(number, block), sources[number])
        return graph

    def _derive(self, derivation: Derivation, other: "_ArrayTasks") -> Graph:
        graph: Graph = {}
        grid = other.array.grid
        for number, block in self.todo:
            part = derivation.rule.source(block, grid.shape)
            before = [
                other.key(i)
                for i in grid.touched(part.start, part.stop)
                if other.array.first + i not in self.done
            ]
            start = self._start(number, block)
            graph[self.key(number)] = (_derive, *start, derivation, other.target, before)
        return graph

    def _start(self, number: int, block: Block) -> tuple[Any, ...]:
        """The first arguments of all tasks."""
        return self.target, self.journal, self.array.first + number, block


def _write(
    array: zarr.Array,
    journal: Journal,
    number: int,
    block: Block,
    pixels: NDArray,
    problems: tuple[str, ...] = (),
) -> None:
    with writing(str(array.store_path)):
        array[block.region] = pixels
        journal.record(number, list(problems))


def _copy(
    array: zarr.Array,
    journal: Journal,
    number: int,
    block: Block,
    source: TreeArray,
    fill: bool,
) -> None:
    pixels, problems = source.read(block, fill)
    _write(array, journal, number, block, pixels, tuple(problems))


def _derive(
    array: zarr.Array,
    journal: Journal,
    number: int,
    block: Block,
    derivation: Derivation,
    source: zarr.Array,
    before: list[None],
) -> None:
    _write(array, journal, number, block, derivation.read(block, source))


def _complete(
    plan: Plan,
    group: zarr.Group,
    target: Target,
    fingerprint: str,
    written: list[None],
) -> list[str]:
    """Write the metadata of an OME-Zarr image, those of the top last.

    Returns
    -------
    list of str
        What was wrong with frames that were filled
    """
    with writing(target.name):
        journal = Journal.find(group)
        problems = journal.problems() if journal else []
        plan.describe_parts(group)
        target.clean()
        facts = plan.facts(fingerprint, problems)
        target.complete(group, plan.top_attributes(group), facts)
    return problems
