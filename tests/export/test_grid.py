"""Chunks are whole frames, shards whole chunks, blocks whole shards."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.export.grid import Division
from dicomslide.export.store import is_far


def chunks_of(tile: int, size: int = 100_000) -> int:
    grid = Division().grid((3, 1, size, size), 1, (3, 1, tile, tile))
    assert grid.chunks[2] == grid.chunks[3]
    assert grid.chunks[:2] == (1, 1)
    return grid.chunks[2]


@pytest.mark.parametrize(
    ("tile", "expected"),
    [
        (240, 480),
        (256, 512),
        (512, 512),
        (224, 448),
        (300, 600),
        (1024, 1024),
        (7, 511),
        (1000, 1000),
    ],
)
def test_default_chunk_is_whole_frames_close_to_512(tile, expected):
    assert chunks_of(tile) == expected
    assert expected % tile == 0


@pytest.mark.parametrize(
    ("tile", "expected"), [(2048, 512), (4096, 512), (1500, 500), (4097, 4097)]
)
def test_frame_that_is_larger_is_cut_evenly_if_that_is_possible(tile, expected):
    assert chunks_of(tile) == expected


@pytest.mark.parametrize(
    ("shape", "itemsize", "unit", "expected"),
    [
        # Colour; 8 MiB of 16-bit channels; samples that stay together; one channel
        ((3, 1, 9000, 9000), 1, (3, 1, 256, 256), (3, 1, 1024, 1024)),
        ((40, 1, 9000, 9000), 2, (1, 1, 512, 512), (4, 1, 1024, 1024)),
        ((3, 1, 9000, 9000), 2, (3, 1, 1024, 1024), (3, 1, 1024, 1024)),
        ((9, 1, 9000, 9000), 1, (3, 1, 240, 240), (9, 1, 960, 960)),
        ((1, 5, 9000, 9000), 1, (1, 1, 2048, 4096), (1, 1, 1024, 1024)),
    ],
)
def test_chunks_far_away_are_larger_and_of_several_channels(shape, itemsize, unit, expected):
    grid = Division.of(None, None, is_far=True).grid(shape, itemsize, unit)
    assert grid.chunks == expected
    assert all(b % c == 0 or b == n for b, c, n in zip(grid.block, grid.chunks, shape, strict=True))
    # Readers fetch single chunks of a shard
    shards = Division.of(None, 2048, is_far=True).grid((3, 1, 9000, 9000), 1, (3, 1, 256, 256))
    assert shards.chunks == (1, 1, 512, 512)


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("folder/slide.zarr", False),
        ("s3://bucket/slide.zarr", True),
        ("https://example.org/slide.zarr", True),
        ("simplecache::s3://bucket/slide.zarr", True),
        ("memory://slide.zarr", False),
        ("file:///folder/slide.zarr", False),
        ({}, False),
    ],
)
def test_urls_of_buckets_and_servers_are_far(store, expected):
    assert is_far(store) is expected


def test_blocks_of_frames_that_are_larger_than_chunks_are_whole_frames():
    grid = Division().grid((3, 1, 10_000, 10_000), 1, (3, 1, 2048, 2048))
    assert (grid.block[2] % 2048, grid.block[3] % 2048) == (0, 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(64, (1, 1, 64, 64)), ((64, 32), (1, 1, 64, 32)), ((3, 2, 64, 32), (3, 2, 64, 32))],
)
def test_sizes_may_be_one_two_or_four(given, expected):
    grid = Division.of(given, None).grid((3, 5, 1000, 1000), 1, (3, 1, 16, 16))
    assert grid.chunks == expected
    assert Division.of(16, given).shards == expected


def test_chunk_is_at_most_as_large_as_the_array():
    grid = Division.of((8, 8, 512, 512), None).grid((3, 1, 100, 700), 1, (3, 1, 16, 16))
    assert grid.chunks == (3, 1, 100, 512)


def test_shards_are_whole_numbers_of_chunks():
    with pytest.raises(ValueError, match="shards"):
        Division.of(100, 250).grid((1, 1, 1000, 1000), 1, (1, 1, 100, 100))


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        (0, ValueError),
        ((1, 2, 3), ValueError),
        (-4, ValueError),
        (1.5, TypeError),
        ("auto", TypeError),
        (True, TypeError),
    ],
)
@pytest.mark.parametrize("name", ["chunks", "shards"])
def test_other_sizes_are_refused(sizes, error, name):
    with pytest.raises(error, match=name):
        Division.of(*((sizes, None) if name == "chunks" else (None, sizes)))


SIDES = st.integers(1, 90)


@given(
    shape=st.tuples(st.sampled_from([1, 2]), st.integers(1, 3), SIDES, SIDES),
    samples=st.sampled_from([1, 3]),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    chunks=st.none() | st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(1, 50)] * 2),
    times=st.none() | st.tuples(*[st.integers(1, 3)] * 4),
)
def test_blocks_cover_everything_once_and_share_no_shard(shape, samples, tile, chunks, times):
    shape = (shape[0] * samples, *shape[1:])
    shards = chunks and times and tuple(c * n for c, n in zip(chunks, times, strict=True))
    grid = Division(chunks, shards).grid(shape, 1, (samples, 1, *tile))
    piece = grid.shards or grid.chunks
    assert all(p % c == 0 for p, c in zip(piece, grid.chunks, strict=True))
    blocks = [grid.block_at(number) for number in range(grid.num_blocks)]
    assert len(blocks) == grid.num_blocks
    assert sum(math.prod(block.shape) for block in blocks) == math.prod(shape)
    for block in blocks:
        assert all(a % p == 0 for a, p in zip(block.start, piece, strict=True))
        ends = zip(block.stop, piece, shape, strict=True)
        assert all(b % p == 0 or b == n for b, p, n in ends)
        assert block.start[0] % samples == block.stop[0] % samples == 0


@given(data=st.data())
def test_touched_blocks_are_those_that_overlap_a_region(data):
    shape = data.draw(st.tuples(*[st.integers(1, 30)] * 4))
    chunks = data.draw(st.tuples(*[st.integers(1, 12)] * 4))
    grid = Division(chunks).grid(shape, 2**22, (1, 1, 1, 1))
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    expected = [
        number
        for number, block in ((n, grid.block_at(n)) for n in range(grid.num_blocks))
        if all(
            max(a, c) < min(b, d)
            for a, b, c, d in zip(block.start, block.stop, start, stop, strict=True)
        )
    ]
    assert sorted(grid.touched(start, stop)) == expected


def test_blocks_take_about_16_mebibytes():
    for tile, samples, itemsize in product((240, 256, 1024), (1, 3), (1, 2)):
        grid = Division().grid((samples, 1, 50_000, 50_000), itemsize, (samples, 1, tile, tile))
        assert 2**21 < math.prod(grid.block) * itemsize <= 2**24
        assert grid.block[2] % tile == 0
