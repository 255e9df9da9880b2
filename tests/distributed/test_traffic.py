"""What travels between the processes of a cluster: little, and the frame index once."""

import pickle
from dataclasses import replace

import cloudpickle
import dask
import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit

from dicomslide import open_slide
from dicomslide.pixels.stack import FrameStack
from dicomslide.sources.offsets import FrameIndex
from dicomslide.tile import FullTiling, SparseTiling

# The frames of a slide of 32,640 x 46,080 pixels with frames of 240 x 240 pixels
GRID = (136, 192)
FRAMES = GRID[0] * GRID[1]
TILE = (16, 24)
OFFSETS, LENGTHS = (bytes([value]) * 8 * FRAMES for value in (0, 1))
POSITIONS = np.indices(GRID).reshape(2, -1).T * TILE

FULL = FullTiling(GRID, TILE)
SPARSE = SparseTiling(TILE, np.arange(FRAMES), POSITIONS, complete=True, disjoint=True)
# Bytes for each frame: its number, row, column and place in the order of rows; offset and length
LAYOUTS = {"full": (FULL, None, 0), "sparse": (SPARSE, (OFFSETS, LENGTHS), 8 * 4 + 8 * 2)}


def array_of(folder):
    return open_slide(folder).get_volume_images()[0].get_total_pixel_matrix().array


@pytest.fixture(params=LAYOUTS)
def large(request, make_slide):
    """The array of a slide of 26,112 frames, and how many bytes its frame index has."""
    tiling, extended, index = LAYOUTS[request.param]
    array = array_of(make_slide().folder)
    known = extended and FrameIndex(0, FRAMES, extended=extended)
    source = replace(array.source, count=FRAMES, index=known)
    size = GRID[0] * TILE[0], GRID[1] * TILE[1]
    frames = replace(array.frames, source=source)
    return replace(array, frames=frames, size=size, tiling=tiling), index * FRAMES


def test_array_is_little_more_than_its_frame_index(large):
    array, index = large
    assert index <= len(pickle.dumps(array)) < index + 4000


def test_graph_of_a_level_is_little_more_than_its_frame_index(large):
    array, index = large
    for lazy in (array.to_dask(), FrameStack(((array,),)).to_dask(TILE)):
        assert lazy.npartitions == FRAMES
        assert len(cloudpickle.dumps(lazy)) < index + 10_000


def test_graph_of_a_reduction_is_below_a_megabyte(large):
    array, index = large
    lazy = FrameStack(((array,),)).to_dask(TILE)
    assert len(cloudpickle.dumps(lazy.mean())) < index + 1_000_000


def test_tasks_do_not_carry_the_array(large):
    array, _ = large
    (graph,) = dask.optimize(array.to_dask()[: 4 * TILE[0]].max())
    tasks = {key: len(cloudpickle.dumps(task)) for key, task in dict(graph.dask).items()}
    assert len(tasks) > 4 * GRID[1]
    (carrier,) = (key for key in tasks if "original" in str(key))
    assert max(size for key, size in tasks.items() if key != carrier) < 3000


def test_index_reaches_each_worker_once(client, make_slide):
    written = make_slide(transfer_syntax=JPEGBaseline8Bit, offset_table="extended", seed=11)
    array = array_of(written.folder)

    def received(dask_worker):
        transfers = dask_worker.transfer_incoming_log
        return [key for transfer in transfers for key in transfer["keys"] if "original" in str(key)]

    before = client.run(received)
    total = array.to_dask().astype(np.int64).sum().compute()
    assert total == array[...].astype(np.int64).sum()
    after = client.run(received)
    assert all(len(after[worker]) - len(before[worker]) <= 1 for worker in after)
