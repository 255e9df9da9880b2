from __future__ import annotations

import itertools

import numpy as np
import pytest

from dicomslide.testing.layout import Frame, lay_out_frames

SIZE, TILE = (250, 330), (64, 80)


def _coverage(frames: tuple[Frame, ...]) -> np.ndarray:
    counts = np.zeros((SIZE[0] + TILE[0], SIZE[1] + TILE[1]), int)
    for frame in frames:
        counts[frame.row : frame.row + TILE[0], frame.column : frame.column + TILE[1]] += 1
    return counts[: SIZE[0], : SIZE[1]]


def test_tiled_full_varies_columns_then_rows_then_focal_planes_then_optical_paths() -> None:
    frames = lay_out_frames((100, 150), (64, 80), [0, 1], [0, 1])
    expected = [
        Frame(row, column, path, plane)
        for path in (0, 1)
        for plane in (0, 1)
        for row in (0, 64)
        for column in (0, 80)
    ]
    assert list(frames) == expected


def test_gaps_leave_out_some_frames_and_keep_the_order() -> None:
    complete = lay_out_frames(SIZE, TILE, [0, 1], [0])
    gaps = lay_out_frames(SIZE, TILE, [0, 1], [0], "gaps", [1])
    assert 0 < len(gaps) < len(complete)
    assert list(gaps) == [frame for frame in complete if frame in gaps]
    first, second = ({f.row * 1000 + f.column for f in gaps if f.optical_path == i} for i in (0, 1))
    assert first != second


def test_gaps_keep_at_least_one_frame() -> None:
    assert all(len(lay_out_frames((9, 9), TILE, [0], [0], "gaps", [s])) == 1 for s in range(20))


def test_shuffled_has_all_frames_in_another_order() -> None:
    complete = lay_out_frames(SIZE, TILE, [0], [0])
    shuffled = lay_out_frames(SIZE, TILE, [0], [0], "shuffled", [1])
    assert shuffled != complete
    assert set(shuffled) == set(complete)


def test_off_grid_frames_do_not_overlap_and_leave_gaps() -> None:
    frames = lay_out_frames(SIZE, TILE, [0], [0], "off-grid", [1])
    assert set(np.unique(_coverage(frames))) == {0, 1}
    assert any(f.row % TILE[0] or f.column % TILE[1] for f in frames)
    assert all(0 <= f.row < SIZE[0] and 0 <= f.column < SIZE[1] for f in frames)


def test_overlapping_frames_cover_everything_and_neighbours_differ_in_shade() -> None:
    frames = lay_out_frames(SIZE, TILE, [0], [0], "overlapping", [1])
    coverage = _coverage(frames)
    assert coverage.min() == 1
    assert coverage.max() == 4
    for one, other in itertools.pairwise(frames):
        if one.row == other.row:
            assert one.shade != other.shade


def test_the_seed_decides_what_is_random() -> None:
    layouts = [lay_out_frames(SIZE, TILE, [0], [0], "shuffled", [s]) for s in (1, 1, 2)]
    assert layouts[0] == layouts[1] != layouts[2]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="sparse is 'dense'"):
        lay_out_frames(SIZE, TILE, [0], [0], "dense")
