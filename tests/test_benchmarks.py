"""The benchmark program runs, measures every reader that is there and writes its tables."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

# The first test waits for the program, which measures everything once
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[1]
NAMES = (
    "machine",
    "peers",
    "ratios",
    "color",
    "color-ratios",
    "training",
    "regions",
    "formats",
    "viewing",
    "view",
    "views",
    "reductions",
    "memory",
    "growth",
    "startup",
    "remote",
)

TABLES = """
import json, sys
from benchmarks.report import ratios, times
results = json.loads(sys.argv[1])
print(json.dumps([ratios(results), times(results)]))
"""


def run(folder: Path, page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    return subprocess.run(
        [*command, "--folder", folder, "--write", page],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Where the program keeps its slides."""
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(scope="module")
def page(slides):
    """A page that the program has written its tables into."""
    path = slides / "page.md"
    markers = [f"<!-- begin {name} -->\nold\n<!-- end {name} -->" for name in NAMES]
    path.write_text("# Page\n\n" + "\n\nText between.\n\n".join(markers) + "\n")
    done = run(slides, path)
    assert done.returncode == 0, done.stderr
    return path.read_text()


def table(page, name):
    """Read a table of the page: the text of its cells by row and column."""
    text = re.search(f"<!-- begin {name} -->\n(.*?)\n<!-- end", page, re.DOTALL)[1]
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n"))
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_all_readers_are_measured(page):
    found = table(page, "peers")
    regions = [row for name, row in found.items() if name.startswith(("256", "1024", "whole"))]
    assert len(regions) == 3
    for row in regions:
        assert len(row) == 7
        assert all(float(cell.replace(",", "")) > 0 for cell in row.values())


def test_the_theoretical_limit_has_no_time_of_opening(page):
    opening = table(page, "peers")["open"]
    assert opening["limit"] == opening["limit, 2 threads"] == ""
    assert float(opening["dicomslide"]) > 0


def test_readers_are_compared_on_as_many_threads(page):
    found = table(page, "ratios")
    assert found.keys() == table(page, "peers").keys()
    for row in found.values():
        # The limit opens nothing
        assert all(float(cell) > 0 for cell in row.values() if cell)
        assert list(row) == [
            "limit",
            "limit, 2 threads",
            "wsidicom",
            "wsidicom, 2 threads",
            "OpenSlide",
        ]


def test_ratio_is_that_of_the_median_region():
    region = "256 x 256"
    results = {
        "limit": {region: [1.0, 2.0, 4.0]},
        "limit, 2 threads": {region: [1.0, 1.0, 2.0]},
        "dicomslide": {region: [2.0, 3.0, 4.0]},
        "dicomslide, 2 threads": {region: [1.0, 1.0, 3.0]},
        "OpenSlide": {region: [4.0, 2.0, 3.0]},
    }
    # The program is no installed package: like the others, this runs where it is
    done = subprocess.run(
        [sys.executable, "-c", TABLES, json.dumps(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    ratios, times = json.loads(done.stdout)
    head, _, row = ratios.split("\n")
    assert (
        head == "| time of dicomslide, divided by that of | limit | limit, 2 threads | OpenSlide |"
    )
    # On one thread 2, 1.5 and 1; on two 1, 1 and 1.5, and 0.25, 0.5 and 1
    assert row == f"| {region} | 1.50 | 1.00 | 0.50 |"
    assert times.split("\n")[2] == f"| {region} | 2,000 | 1,000 | 3,000 | 1,000 | 3,000 |"


def test_every_process_that_begins_is_measured(page):
    found = table(page, "startup")
    assert len(found) == 13
    assert all(float(cell) > 0 for row in found.values() for cell in row.values())


@pytest.mark.parametrize("color", ["as stored", "corrected, sRGB", "corrected, wide gamut"])
def test_every_reader_has_patches_for_a_model(page, color):
    found = table(page, "training")[color]
    # What wsidicom reads as stored is the first row
    assert (found.pop("wsidicom, as stored") == "") == (color == "as stored")
    assert list(found) == ["limit", "dicomslide", "wsidicom", "OpenSlide"]
    assert all(float(rate.replace(",", "")) > 0 for rate in found.values())


def test_regions_are_read_from_a_disk_and_from_far_away(page):
    text = re.search("<!-- begin regions -->\n(.*?)\n<!-- end", page, re.DOTALL)[1]
    local, far = text.split("\n\n")
    assert "local" in local.split("\n")[0]
    assert "50 ms away" in far.split("\n")[0]
    for rows in (local, far):
        times = re.findall(r"\| ([\d.,]+) \| [\d.]+ \|$", rows, re.MULTILINE)
        assert len(times) == 3
        assert all(float(time.replace(",", "")) > 0 for time in times)


def test_every_way_of_storing_frames_is_measured(page):
    found = table(page, "formats")
    assert len(found) == 12
    assert all(float(cell.replace(",", "")) > 0 for row in found.values() for cell in row.values())


def test_every_reader_scans(page):
    scan, thumbnail, tiles = table(page, "viewing").values()
    assert list(scan) == ["limit", "dicomslide", "dicomslide, together", "wsidicom", "OpenSlide"]
    assert all(float(cell.replace(",", "")) > 0 for cell in scan.values())
    assert [name for name, cell in thumbnail.items() if cell] == [
        "dicomslide",
        "wsidicom",
        "OpenSlide",
    ]
    assert [name for name, cell in tiles.items() if cell] == ["dicomslide", "OpenSlide"]


def test_tiles_of_the_viewer_are_drawn_from_near_and_far(page):
    found = table(page, "view")
    assert list(found) == ["as stored", "averages"]
    for row in found.values():
        assert list(row) == ["local", "50 ms away"]
        assert all(float(cell.replace(",", "")) > 0 for cell in row.values())


def test_requests_to_a_bucket_are_counted(page):
    found = table(page, "remote")
    assert len(found) == 19
    for name, row in found.items():
        requests, deep, size, milliseconds = (float(v.replace(",", "")) for v in row.values())
        if ":" in name:
            # Others may have read the whole small file when they opened it
            assert 0 <= deep <= requests
            assert milliseconds > 0
            continue
        assert 1 <= deep <= requests
        assert size > 0
        # Each request takes 30 ms at least
        assert milliseconds >= 30


@pytest.mark.parametrize("name", ["color", "views", "reductions", "growth"])
def test_other_tables_have_a_positive_number_in_each_row(page, name):
    rows = table(page, name)
    assert rows
    for row in rows.values():
        assert float(next(iter(reversed(row.values())))) > 0


def test_the_rest_of_the_page_stays(page):
    assert page.startswith("# Page\n")
    assert page.count("Text between.") == len(NAMES) - 1
    assert "old" not in page


def test_a_page_without_markers_is_an_error(slides, page, tmp_path):
    path = tmp_path / "page.md"
    path.write_text("# Page\n")
    done = run(slides, path, "--parts", "views")
    assert done.returncode != 0
    assert "has no <!-- begin machine -->" in done.stderr
    assert path.read_text() == "# Page\n"
