"""The ``info`` command: what it tells of slides, to people and to programs."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit
from rich.cells import cell_len

from dicomslide import open_slide
from dicomslide.cli.facts import (
    ChannelFacts,
    Code,
    ImageFacts,
    LevelFacts,
    SlideFacts,
    read_facts,
)
from dicomslide.cli.info import describe_slide
from dicomslide.cli.table import Column, lines_of_table
from dicomslide.testing import write_slide

ROOT = Path(__file__).parents[1]
# Width where there is no terminal
WIDTH = 80


@pytest.fixture(scope="session")
def slide(make_slide):
    """A slide with everything that the command tells."""
    return make_slide(
        size=(350, 450),
        tile=(64, 48),
        factors=(1, 2.5),
        transfer_syntax=JPEGBaseline8Bit,
        container_identifier="S26-77",
        patient_name="Gauss^Carl",
        patient_id="17770430",
        label=True,
        overview=True,
        segmentations=("BINARY",),
        parametric_maps=("float",),
    )


@pytest.fixture
def several(tmp_path):
    """A folder of three slides, the second of which is damaged."""
    for number in (1, 2, 3):
        write_slide(
            tmp_path / "several" / f"{number}",
            size=(300, 400 + number),
            factors=(1, 2),
            container_identifier=f"GLASS-{number}",
            seed=number,
        )
    damaged = tmp_path / "several" / "2" / "level-0.dcm"
    data = damaged.read_bytes()
    damaged.write_bytes(data[: len(data) // 2])
    return tmp_path / "several"


def rows_of(lines, heading):
    """Cells of the rows of a table, which are two spaces apart."""
    start = lines.index(heading) + 2
    end = lines.index("", start)
    return [re.split(r" {2,}", line.strip()) for line in lines[start:end]]


class TestOneSlide:
    def test_name_size_and_objective_come_first(self, run, slide):
        code, lines, errors = run("info", slide.folder)
        assert (code, errors) == (0, [])
        assert lines[0] == "Slide S26-77"
        told = dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in lines[1:9])
        assert told["size"] == "350 x 450 pixels"
        # 350 rows run along X and 450 columns along Y, 0.0005 mm each
        assert told["on the slide"] == "0.175 x 0.225 mm (along X and Y)"
        assert told["pixel"] == "0.5 µm"
        # Objective Lens Power of synthetic slides
        assert told["objective"] == "20x"

    def test_levels_have_sizes_and_distances_in_micrometres(self, run, slide):
        _, lines, _ = run("info", slide.folder)
        assert rows_of(lines, "Levels") == [
            ["0", "350", "450", "0.5", "1", "64 x 48", "VOLUME", "JPEG"],
            ["1", "140", "180", "1.25", "2.5", "64 x 48", "VOLUME", "JPEG"],
        ]

    def test_channels_and_associated_images_are_told(self, run, slide):
        _, lines, _ = run("info", slide.folder)
        assert [row[2] for row in rows_of(lines, "Segments")] == ["Nucleus", "Epithelium", "Stroma"]
        assert rows_of(lines, "Parameters")[0][1] == "HAEMATOXYLIN"
        assert [row[0] for row in rows_of(lines, "Associated images")] == ["LABEL", "OVERVIEW"]

    def test_uids_come_last(self, run, slide):
        _, lines, _ = run("info", slide.folder)
        uid = re.compile(r"\d+(\.\d+){3,}")
        assert not any(uid.search(line) for line in lines[: lines.index("UIDs")])
        assert lines[-1] == f"frame of ref.  {slide.frame_of_reference_uid}"

    @pytest.mark.parametrize(
        ("orientation", "expected"),
        [
            ((0, -1, 0, -1, 0, 0), "90 degrees clockwise"),
            ((0, 1, 0, 1, 0, 0), "90 degrees counterclockwise"),
            ((1, 0, 0, 0, -1, 0), "none"),
        ],
    )
    def test_rotation_is_the_one_that_turns_the_image_upright(
        self, run, make_slide, orientation, expected
    ):
        _, lines, _ = run("info", make_slide(orientation=orientation).folder)
        (line,) = (line for line in lines if "rotation" in line)
        assert line.split(maxsplit=1)[1].startswith(expected)

    def test_few_focal_planes_are_listed_and_many_are_a_range(self, run, make_slide):
        for count, expected in ((3, "3 (at 0, 2, 4 µm)"), (8, "8 (from 0 to 14 µm)")):
            written = make_slide(focal_planes=count, focal_plane_spacing=2.0)
            _, lines, _ = run("info", written.folder)
            (line,) = (line for line in lines if "focal planes" in line)
            assert line.split(maxsplit=2)[2] == expected

    def test_one_file_will_do(self, run, slide):
        code, lines, _ = run("info", slide.levels[1].paths[0])
        assert code == 0
        assert rows_of(lines, "Levels")[0][:3] == ["0", "140", "180"]

    def test_slide_that_is_asked_for_is_told_whatever_became_of_others(self, run, several):
        code, lines, errors = run("info", several, "--container", "GLASS-3")
        assert (code, lines[0], errors) == (0, "Slide GLASS-3", [])
        code, lines, errors = run("info", several, "--container", "GLASS-2")
        assert (code, lines, len(errors)) == (2, [], 1)

    @pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGBaseline8Bit])
    def test_lines_fit_80_columns_where_there_is_no_terminal(self, run, make_slide, syntax):
        written = make_slide(
            transfer_syntax=syntax, factors=(1, 2), container_identifier="S26-77 " * 9, label=True
        )
        _, lines, _ = run("info", written.folder)
        assert max(map(len, lines)) <= WIDTH

    def test_wide_terminals_show_more_columns(self, slide):
        facts = read_facts(open_slide(slide.folder), "")
        narrow, wide = (list(describe_slide(facts, width)) for width in (70, 120))
        assert max(map(len, narrow)) <= 79
        headings = [lines[lines.index("Levels") + 1].split() for lines in (narrow, wide)]
        assert set(headings[0]) < set(headings[1])
        assert "image" in headings[1]

    def test_control_characters_of_attributes_are_not_printed(self, run, slide, tmp_path):
        dataset = pydicom.dcmread(slide.levels[0].paths[0])
        dataset.ContainerIdentifier = dataset.Manufacturer = "red\x07\x7f"
        dataset.save_as(tmp_path / "red.dcm")
        for options in ([], ["--json"]):
            _, lines, _ = run("info", tmp_path / "red.dcm", *options)
            assert "red" in "".join(lines)
            assert "".join(lines).isprintable()


class TestSeveralSlides:
    def test_each_has_a_line_and_a_damaged_one_is_an_error_at_the_end(self, run, several):
        code, lines, errors = run("info", several)
        assert code == 2
        assert [line.split()[:3] for line in lines[1:]] == [
            ["GLASS-1", "300", "401"],
            ["GLASS-3", "300", "403"],
        ]
        (error,) = errors
        assert error.startswith("dicomslide: error: slide 'GLASS-2' is left out: ")
        assert "level-0.dcm" in error

    def test_sources_are_told_together(self, run, several, slide):
        code, lines, errors = run("info", several / "1", several / "nowhere", slide.folder)
        assert code == 2
        assert [line.split()[0] for line in lines[1:]] == ["GLASS-1", "S26-77"]
        assert len(errors) == 1
        assert "nowhere: no such file or folder" in errors[0]

    def test_lines_fit_80_columns(self, run, several, slide):
        _, lines, _ = run("info", several, slide.folder)
        assert max(map(len, lines)) <= WIDTH

    def test_slides_of_one_container_are_told_apart_by_their_images(self, run, tmp_path):
        for number in (1, 2):
            written = write_slide(
                tmp_path / f"{number}", size=(60, 80), factors=(1,), container_identifier="GLASS"
            )
            path = written.levels[0].paths[0]
            path.rename(path.with_name(f"scan-{number}.dcm"))
        _, lines, _ = run("info", tmp_path / "1", tmp_path / "2")
        assert [line.split()[:2] for line in lines[1:]] == [
            ["GLASS", "scan-1.dcm"],
            ["GLASS", "scan-2.dcm"],
        ]

    def test_debug_raises_the_first_error(self, run, several):
        with pytest.raises(ValueError, match=r"level-0\.dcm"):
            run("--debug", "info", several)


class TestJson:
    def test_document_has_what_the_slide_says(self, run, slide):
        code, lines, errors = run("info", "--json", slide.folder)
        assert (code, errors) == (0, [])
        document = json.loads("\n".join(lines))
        assert document["errors"] == []
        (told,) = document["slides"]
        assert told["source"] == str(slide.folder)
        assert told["container_identifier"] == "S26-77"
        assert told["frame_of_reference_uid"] == slide.frame_of_reference_uid
        assert (told["rows"], told["columns"]) == (350, 450)
        assert told["physical_size_mm"] == pytest.approx([0.175, 0.225])
        assert told["focal_plane_offsets_um"] == [0.0]
        assert told["rotation_degrees"] == -90
        assert [level["pixel_spacing_um"] for level in told["levels"]] == [[0.5] * 2, [1.25] * 2]
        image = told["levels"][0]["images"][0]
        dataset = pydicom.dcmread(slide.levels[0].paths[0], stop_before_pixels=True)
        assert image["sop_instance_uid"] == dataset.SOPInstanceUID
        assert image["series_instance_uid"] in told["series_instance_uids"]
        assert image["transfer_syntax_uid"] == JPEGBaseline8Bit
        kinds = [image["kind"] for image in told["levels"][0]["images"]]
        assert kinds[:2] == ["VOLUME", "SEGMENT"]
        assert [image["kind"] for image in told["associated_images"]] == ["LABEL", "OVERVIEW"]

    def test_channels_have_codes(self, run, slide):
        _, lines, _ = run("info", "--json", slide.folder)
        channels = json.loads("\n".join(lines))["slides"][0]["channels"]
        path, nucleus = channels[:2]
        # Eosin and haematoxylin of PS3.16 CID 8112
        assert {code["value"] for code in path["stains"]} == {"12710003", "36879007"}
        assert (nucleus["type"], nucleus["identifier"]) == ("SEGMENT", "1")
        assert nucleus["property_types"] == [
            {"value": "84640000", "scheme": "SCT", "meaning": "Nucleus"}
        ]

    def test_document_has_no_patient_data(self, run, slide):
        _, lines, _ = run("info", "--json", slide.folder)
        text = "\n".join(lines)
        assert "Gauss" not in text
        assert "17770430" not in text

    def test_errors_are_in_the_document_too(self, run, several):
        code, lines, errors = run("info", "--json", several)
        document = json.loads("\n".join(lines))
        assert (code, len(errors)) == (2, 1)
        assert [slide["container_identifier"] for slide in document["slides"]] == [
            "GLASS-1",
            "GLASS-3",
        ]
        assert [f"dicomslide: error: {error}" for error in document["errors"]] == errors
        code, lines, _ = run("info", "--json", several / "nowhere")
        document = json.loads("\n".join(lines))
        assert (code, document["slides"], len(document["errors"])) == (2, [], 1)

    @pytest.mark.parametrize("kind", [SlideFacts, LevelFacts, ImageFacts, ChannelFacts, Code])
    def test_all_keys_are_documented(self, kind):
        page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
        assert [field.name for field in fields(kind) if f"`{field.name}`" not in page] == []


columns = st.lists(
    st.tuples(
        st.sampled_from(["number", "word", "text"]),
        st.integers(0, 3),
        st.lists(st.text("ab µ字", max_size=30), min_size=3, max_size=3),
    ).map(lambda drawn: Column("name", drawn[2], drawn[0], drawn[1])),
    min_size=1,
    max_size=6,
)


class TestTable:
    @given(columns, st.integers(1, 120))
    def test_lines_are_as_wide_as_columns_that_stay_need_at_most(self, columns, width):
        lines = list(lines_of_table(columns, width))
        needed = [c.least + 2 for c in columns if any(c.cells) and not c.rank]
        assert all(cell_len(line) <= max(width, sum(needed) - 2) for line in lines)

    @given(columns)
    def test_nothing_is_cut_or_left_out_where_there_is_room(self, columns):
        text = "\n".join(lines_of_table(columns, 1000))
        assert "…" not in text
        shown = [column for column in columns if any(column.cells)]
        assert text.count("name") == len(shown)

    def test_numbers_are_never_cut(self):
        columns = [Column("name", ["long" * 9], "text"), Column("n", ["1" * 9], "number")]
        assert list(lines_of_table(columns, 5)) == [
            "name                  n",
            "longlonglon…  111111111",
        ]
