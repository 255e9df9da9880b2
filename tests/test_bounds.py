"""What a process keeps is bounded as the configuration says."""

import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import dask
import pytest

from dicomslide import bounds
from dicomslide.bounds import Recent, bound

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def test_the_page_lists_all_bounds_and_their_defaults():
    pattern = r"^\| `dicomslide\.keep\.([a-z-]+)` \| ([0-9A-Za-z ]+) \|"
    rows = re.findall(pattern, PAGE.read_text(), re.MULTILINE)
    assert {name: value.strip() for name, value in rows} == {
        name: str(value) for name, value in bounds._DEFAULTS.items()
    }


def test_the_configuration_of_dask_sets_them():
    assert bound("read-ahead") == 128 * 2**20
    with dask.config.set({"dicomslide.keep.read-ahead": "1 MB"}):
        assert bound("read-ahead") == 10**6
    with dask.config.set({"dicomslide.keep.read-ahead": 5}):
        assert bound("read-ahead") == 5


def test_the_environment_sets_them():
    code = "from dicomslide.bounds import bound; print(bound('read-ahead'))"
    environment = {"DASK_DICOMSLIDE__KEEP__READ_AHEAD": "2 MiB"}
    done = subprocess.run(
        ["/usr/bin/env", *(f"{k}={v}" for k, v in environment.items()), sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(2 * 2**20)


@pytest.mark.parametrize("value", ["much", None, [1], -1, "-1 MiB", float("inf")])
def test_what_is_no_number_of_bytes_is_an_error(value):
    with (
        dask.config.set({"dicomslide.keep.colors": value}),
        pytest.raises(ValueError, match=r"dicomslide\.keep\.colors"),
    ):
        bound("colors")


def test_what_is_no_number_of_bytes_may_equal_one():
    with dask.config.set({"dicomslide.keep.colors": 5.0}):
        assert bound("colors") == 5
    with (
        dask.config.set({"dicomslide.keep.colors": Decimal(5)}),
        pytest.raises(ValueError, match=r"got Decimal"),
    ):
        bound("colors")


def test_the_least_recently_used_is_dropped_beyond_the_bound():
    with dask.config.set({"dicomslide.keep.colors": "10 B"}):
        kept = Recent("colors")
        made = []

        def get(key: str, size: int = 4) -> str:
            return kept.get(key, lambda: made.append(key) or key, size)

        assert [get(key) for key in "abacab"] == [*"abacab"]
        assert made == [*"abcb"]
        get("large", 100)
        assert len(kept) == 1
        kept.drop("large")
        kept.drop("large")
        assert len(kept) == 0
        made.clear()
        assert [get(key) for key in "abab"] == [*"abab"]
        assert made == [*"ab"]


def test_threads_that_need_a_thing_at_once_have_it_made_once():
    kept, made, begin = Recent("colors"), [], threading.Barrier(8)

    def make() -> str:
        made.append(threading.get_ident())
        time.sleep(0.05)
        return "thing"

    def get(_: int) -> str:
        begin.wait()
        return kept.get("key", make, 1)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(get, range(8))) == ["thing"] * 8
    assert len(made) == 1


def test_what_cannot_be_made_is_tried_again():
    kept = Recent("colors")
    with pytest.raises(ZeroDivisionError):
        kept.get("key", lambda: 1 // 0, 1)
    assert kept.get("key", lambda: "thing", 1) == "thing"
    assert kept._being_made == {}
