"""Slides of many sources are opened ahead of the caller, in their order and in bounded numbers."""

import logging
import threading

import pytest

from dicomslide import iter_slides, open_slides
from dicomslide.errors import NoSlideError, SourceError
from dicomslide.opening import many


@pytest.fixture(scope="module")
def folders(tmp_path_factory, make_slide):
    """Folders of a slide each."""
    return [
        make_slide(container_identifier=f"S26-{number}", accession_number=f"iter {number}").folder
        for number in range(6)
    ]


def containers(slides):
    return [slide.container_identifier for slide in slides]


def test_slides_come_in_the_order_of_their_sources(folders):
    found = containers(iter_slides(folders))
    assert found == [f"S26-{number}" for number in range(6)]
    assert containers(iter_slides(str(path) for path in reversed(folders))) == found[::-1]


@pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: [[path]]])
def test_a_source_alone_is_opened_as_by_open_slides(folders, kind):
    assert containers(iter_slides(kind(folders[0]))) == containers(open_slides(folders[0]))


def test_a_source_may_be_several_folders(folders):
    assert containers(iter_slides([folders[:2], folders[2]])) == ["S26-0", "S26-1", "S26-2"]


def test_sources_are_taken_as_they_are_needed(folders, monkeypatch):
    monkeypatch.setattr(many, "_AT_ONCE", 2)
    taken = []

    def sources():
        for number in range(100):
            taken.append(number)
            yield folders[number % 6]

    slides = iter_slides(sources())
    assert not taken
    for count in range(1, 5):
        next(slides)
        assert len(taken) <= count + 2


def test_sources_are_opened_side_by_side(folders, monkeypatch):
    # Passes only when three sources are opened together
    barrier = threading.Barrier(3, timeout=30)

    def meet(source, **options):
        barrier.wait()
        return open_slides(source, **options)

    monkeypatch.setattr(many, "open_slides", meet)
    monkeypatch.setattr(many, "_AT_ONCE", 3)
    assert len(list(iter_slides(folders))) == 6


def test_error_comes_after_the_slides_before_it(folders, tmp_path):
    slides = iter_slides([folders[0], tmp_path / "none", folders[1]])
    assert next(slides).container_identifier == "S26-0"
    with pytest.raises(SourceError, match="none"):
        next(slides)


def test_sources_that_cannot_be_opened_are_left_out_and_named(folders, tmp_path, caplog):
    (tmp_path / "empty").mkdir()
    sources = [tmp_path / "none", folders[0], tmp_path / "empty", folders[1]]
    with caplog.at_level(logging.WARNING, "dicomslide"):
        assert containers(iter_slides(sources, errors="skip")) == ["S26-0", "S26-1"]
    assert [name in caplog.text for name in ("none", "empty")] == [True, True]
    with pytest.raises((NoSlideError, SourceError)):
        list(iter_slides(sources))


@pytest.mark.parametrize("options", [{"errors": "ignore"}, {"colour": True}])
def test_wrong_arguments_are_told_at_once(folders, options):
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        iter_slides(folders, **options)
