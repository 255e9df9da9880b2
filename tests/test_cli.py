"""The ``dicomslide`` command: what it prints, what it writes, and how it fails."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
import zarr
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

import dicomslide
from dicomslide.cli import main
from dicomslide.testing import make_wide_gamut_profile, write_slide

CT_IMAGE = pydicom.data.get_testdata_file("CT_small.dcm")


@pytest.fixture(scope="session")
def slide(make_slide):
    """A slide with everything that the report tells."""
    return make_slide(
        size=(350, 450),
        tile=(64, 48),
        factors=(1, 2.5),
        transfer_syntax=JPEGBaseline8Bit,
        container_identifier="S26-77",
        label=True,
        overview=True,
        segmentations=("BINARY",),
        parametric_maps=("float",),
    )


def run_process(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Run the installed command in a process of its own."""
    command = shutil.which("dicomslide", path=os.path.dirname(sys.executable))
    if command is None:
        pytest.skip("the dicomslide command is not installed beside this Python")
    return subprocess.run(
        [command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


class TestThumbnail:
    def test_thumbnail_has_a_longer_side_as_asked_for(self, run, slide, tmp_path):
        out = tmp_path / "thumbnail.png"
        assert run("thumbnail", slide.folder, out, "--size", 90) == (0, [], [])
        with Image.open(out) as picture:
            assert (picture.size, picture.mode, picture.format) == ((90, 70), "RGB", "PNG")

    def test_thumbnail_is_at_most_as_large_as_the_slide(self, run, slide, tmp_path):
        out = tmp_path / "thumbnail.png"
        assert run("thumbnail", slide.folder, out)[0] == 0
        with Image.open(out) as picture:
            assert picture.size == (450, 350)

    def test_suffix_of_a_thumbnail_decides_its_format(self, run, slide, tmp_path):
        out = tmp_path / "thumbnail.jpg"
        run("thumbnail", slide.folder, out, "--size", 20)
        with Image.open(out) as picture:
            assert picture.format == "JPEG"

    def test_upright_with_segments(self, make_slide, run, tmp_path):
        written = make_slide(segmentations=("BINARY",))
        slide = dicomslide.open_slide(written.folder)
        for index, (names, overlay) in enumerate(
            ((["all"], True), (["2", "stroma"], [2, "stroma"]), ([], False))
        ):
            out = tmp_path / f"{index}.png"
            options = [part for name in names for part in ("--overlay", name)]
            assert run("thumbnail", written.folder, out, "--upright", *options) == (0, [], [])
            expected = dicomslide.make_thumbnail(slide, overlay=overlay, upright=True)
            with Image.open(out) as picture:
                np.testing.assert_array_equal(picture, expected)

    def test_segment_that_is_not_there(self, make_slide, run, tmp_path):
        out = tmp_path / "out.png"
        assert_failed(
            run("thumbnail", make_slide().folder, out, "--overlay", "fat"), "no segment 'fat'"
        )
        assert not out.exists()

    def test_colours_are_corrected_unless_told_otherwise(self, run, make_slide, tmp_path):
        written = make_slide(icc_profile=make_wide_gamut_profile())
        pictures = []
        for number, options in enumerate([[], ["--no-color-correction"]]):
            out = tmp_path / f"{number}.png"
            run("thumbnail", written.folder, out, *options)
            pictures.append(np.asarray(Image.open(out)))
        assert (pictures[0] != pictures[1]).any()
        np.testing.assert_array_equal(pictures[1], written.levels[0].pixels())


class TestExport:
    def test_all_levels_are_exported(self, run, make_slide, tmp_path):
        written = make_slide(factors=(1, 2))
        out = tmp_path / "slide.ome.zarr"
        assert run("export", written.folder, out) == (0, [], [])
        group = zarr.open_group(str(out), mode="r")
        for level in written.levels:
            stored = np.moveaxis(group[str(level.index)][:, 0], 0, -1)
            np.testing.assert_array_equal(stored, level.pixels())

    def test_store_is_replaced_when_asked_for(self, run, make_slide, tmp_path):
        out = tmp_path / "slide.ome.zarr"
        run("export", make_slide().folder, out)
        code, _, errors = run("export", make_slide(factors=(1, 2)).folder, out, "--overwrite")
        assert (code, errors) == (0, [])
        assert sorted(zarr.open_group(str(out)).array_keys()) == ["0", "1"]

    @pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
    def test_any_version_is_written(self, run, make_slide, tmp_path, version):
        out = tmp_path / "slide.ome.zarr"
        assert run("export", make_slide().folder, out, "--version", version) == (0, [], [])
        attributes = zarr.open_group(str(out), mode="r").attrs.asdict()
        if version == "0.4":
            assert attributes["multiscales"][0]["version"] == "0.4"
        else:
            assert attributes["ome"]["version"] == version

    def test_sizes_and_codec_may_be_chosen(self, run, make_slide, tmp_path):
        out = tmp_path / "slide.ome.zarr"
        options = ["--chunks", "32", "--shards", "64,96", "--compressor", "gzip"]
        assert run("export", make_slide().folder, out, *options) == (0, [], [])
        array = zarr.open_group(str(out), mode="r")["0"]
        assert (array.chunks, array.shards) == ((1, 1, 32, 32), (1, 1, 64, 96))
        assert type(array.compressors[0]).__name__ == "GzipCodec"

    @pytest.mark.parametrize("sizes", ["large", "1,2,x", ""])
    def test_other_sizes_are_a_mistake_of_usage(self, run, make_slide, tmp_path, capsys, sizes):
        with pytest.raises(SystemExit):
            run("export", make_slide().folder, tmp_path / "slide.zarr", "--chunks", sizes)
        assert "such as 512,512" in capsys.readouterr().err

    def test_missing_levels_may_be_computed(self, run, make_slide, tmp_path):
        out = tmp_path / "slide.ome.zarr"
        written = make_slide(factors=(1, 4))
        assert run("export", written.folder, out, "--levels", "dyadic") == (0, [], [])
        group = zarr.open_group(str(out), mode="r")
        assert [group[str(n)].shape[2:] for n in range(3)] == [(70, 90), (35, 45), (18, 23)]

    def test_label_images_show_patient_data_and_are_left_out(self, run, slide, tmp_path, capsys):
        for name, options, there in (("out", [], False), ("all", ["--associated"], True)):
            run("export", slide.folder, tmp_path / name, *options)
            group = zarr.open_group(str(tmp_path / name), mode="r")
            assert ("associated" in group) is there
            assert "labels" in group
        with pytest.raises(SystemExit):
            run("export", "--help")
        assert "patient data" in " ".join(capsys.readouterr().out.split())

    def test_segments_can_be_left_out(self, run, slide, tmp_path):
        run("export", slide.folder, tmp_path / "out.zarr", "--no-labels")
        assert "labels" not in zarr.open_group(str(tmp_path / "out.zarr"))

    def test_store_that_is_complete_is_resumed_in_no_time(self, run, make_slide, tmp_path):
        source, out = make_slide().folder, tmp_path / "slide.ome.zarr"
        run("export", source, out)
        assert run("export", source, out, "--resume") == (0, [], [])
        code, _, errors = run("export", source, out, "--resume", "--chunks", "32")
        assert code == 2
        assert "slide.ome.zarr" in errors[0]

    def test_url_is_written(self, run, make_slide):
        assert run("export", make_slide().folder, "memory://cli/slide.zarr") == (0, [], [])
        assert "ome" in zarr.open_group("memory://cli/slide.zarr", mode="r").attrs

    def test_options_of_the_store_are_given_to_its_file_system(
        self, run, make_slide, bucket, capsys
    ):
        url = f"s3://{bucket.name}/command.zarr"
        options = [f"{key}={json.dumps(value)}" for key, value in bucket.options.items()]
        # Text need not be JSON
        options[0] = "key=nobody"
        given = [word for option in options for word in ("--out-option", option)]
        assert run("export", make_slide().folder, url, *given) == (0, [], [])
        assert "ome" in zarr.open_group(url, mode="r", storage_options=bucket.options).attrs
        with pytest.raises(SystemExit):
            run("export", make_slide().folder, url, "--out-option", "anon")
        assert "expected KEY=VALUE" in capsys.readouterr().err

    def test_damaged_frames_are_filled_and_told_when_asked_for(self, run, make_slide, tmp_path):
        written = make_slide(transfer_syntax=JPEGBaseline8Bit)
        data = written.paths[0].read_bytes()
        start = data.rindex(b"\xff\xd8\xff\xe0")
        broken = tmp_path / "broken.dcm"
        broken.write_bytes(data[:start] + bytes(40) + data[start + 40 :])
        code, _, errors = run("export", broken, tmp_path / "out.zarr")
        assert code == 2
        assert "broken.dcm: frame 20" in errors[0]
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code, _, errors = run(
                "export", broken, tmp_path / "out.zarr", "--errors", "fill", "--overwrite"
            )
        assert (code, len(errors)) == (0, 1)
        assert re.match(r"dicomslide: warning: .*out\.zarr.*frame 20", errors[0])


class TestDemo:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        """A demonstration of a second."""

        def write(folder, **options):
            return write_slide(folder, **options | {"size": (450, 600)})

        monkeypatch.setattr("dicomslide.cli.demo.write_slide", write)

    def test_demo_writes_a_slide_a_picture_and_a_store(self, run, tmp_path):
        folder = tmp_path / "demo"
        code, lines, errors = run("demo", folder)
        assert (code, errors) == (0, [])
        for name in ("slide", "thumbnail.png", "slide.ome.zarr"):
            assert (folder / name).exists()
            assert any(str(folder / name) in line for line in lines)
        with Image.open(folder / "thumbnail.png") as picture:
            assert picture.size == (600, 450)
        assert "0" in zarr.open_group(str(folder / "slide.ome.zarr"))

    def test_code_that_the_demo_shows_runs(self, run, tmp_path):
        _, lines, _ = run("demo", tmp_path / "demo")
        start = next(n for n, line in enumerate(lines) if "import xarray" in line)
        names = {}
        exec("\n".join(line.strip() for line in lines[start:]), names)
        assert "level_0" in names["tree"].children

    def test_folder_is_not_written_into_when_it_holds_something(self, run, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        code, lines, errors = run("demo", tmp_path)
        assert (code, lines, len(errors)) == (2, [], 1)
        assert os.listdir(tmp_path) == ["mine.txt"]


class TestHelp:
    @pytest.mark.parametrize("command", ["info", "thumbnail", "export", "demo"])
    def test_command_explains_itself(self, capsys, command):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert f"dicomslide {command}" in capsys.readouterr().out

    def test_all_commands_are_listed(self, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert all(command in text for command in ("info", "thumbnail", "export", "demo"))

    def test_version_is_that_of_the_package(self, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["--version"])
        assert caught.value.code == 0
        assert capsys.readouterr().out.strip() == f"dicomslide {dicomslide.__version__}"

    @pytest.mark.parametrize("arguments", [[], ["nothing"], ["info"], ["thumbnail", "a"]])
    def test_wrong_use_is_exit_code_2_and_how_to_use_it(self, capsys, arguments):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: dicomslide" in capsys.readouterr().err


@pytest.fixture
def bad(make_slide, tmp_path):
    """Sources that are no slide, each with what the message has to name."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.dcm").write_text("This is no DICOM file, whatever its name.\n" * 20)
    (tmp_path / "nothing.dcm").write_bytes(b"")
    whole = make_slide().paths[0].read_bytes()
    for name, size in (("truncated", 9000), ("headless", 500), ("prefix", 132)):
        (tmp_path / f"{name}.dcm").write_bytes(whole[:size])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "broken.dcm").write_bytes(whole[:9000])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no slide")
    shutil.copy(CT_IMAGE, tmp_path / "texts" / "ct.dcm")
    return {
        "missing folder": (tmp_path / "missing", "missing"),
        "empty folder": (tmp_path / "empty", "empty"),
        "folder of other files": (tmp_path / "texts", "texts"),
        "renamed text file": (tmp_path / "text.dcm", "text.dcm"),
        "empty file": (tmp_path / "nothing.dcm", "nothing.dcm"),
        "CT image": (CT_IMAGE, "CT_small.dcm"),
        "truncated pixels": (tmp_path / "truncated.dcm", "truncated.dcm"),
        "truncated header": (tmp_path / "headless.dcm", "headless.dcm"),
        "prefix alone": (tmp_path / "prefix.dcm", "prefix.dcm"),
        "truncated file in a folder": (tmp_path / "folder", "broken.dcm"),
    }


BAD = [
    "missing folder",
    "empty folder",
    "folder of other files",
    "renamed text file",
    "empty file",
    "CT image",
    "truncated pixels",
    "truncated header",
    "prefix alone",
    "truncated file in a folder",
]


def assert_failed(result, name: str) -> None:
    """Exit code 2, and one line that names what is wrong."""
    code, lines, errors = result
    assert (code, lines) == (2, [])
    assert len(errors) == 1
    assert errors[0].startswith("dicomslide: error: ")
    assert name in errors[0]
    assert "Errno" not in errors[0]


class TestBadInput:
    @pytest.mark.parametrize("case", BAD)
    def test_bad_input_is_one_line_that_names_it(self, run, bad, case):
        source, name = bad[case]
        assert_failed(run("info", source), name)

    @pytest.mark.parametrize("command", ["thumbnail", "export"])
    def test_bad_input_leaves_no_output(self, run, bad, tmp_path, command):
        out = tmp_path / "out.png"
        for source, name in bad.values():
            assert_failed(run(command, source, out), name)
            assert not out.exists()

    @pytest.mark.parametrize("end", [132, 140, 300, 1000, 2000, 3000, 3300, 5000, 20_000])
    @pytest.mark.parametrize("transfer_syntax", ["1.2.840.10008.1.2.1", JPEGBaseline8Bit])
    @pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
    def test_file_may_end_anywhere(
        self, run, make_slide, tmp_path, end, transfer_syntax, organization
    ):
        written = make_slide(transfer_syntax=transfer_syntax, organization=organization)
        data = written.paths[0].read_bytes()
        (tmp_path / "cut.dcm").write_bytes(data[: min(end, len(data) - 100)])
        assert_failed(run("thumbnail", tmp_path / "cut.dcm", tmp_path / "out.png"), "cut.dcm")

    def test_output_that_exists_is_left_alone(self, run, make_slide, tmp_path):
        source = make_slide().folder
        (tmp_path / "thesis.txt").write_text("precious")
        for options in ([], ["--overwrite"]):
            assert_failed(run("export", source, tmp_path, *options), tmp_path.name)
            assert_failed(run("export", source, tmp_path / "thesis.txt", *options), "thesis.txt")
        assert (tmp_path / "thesis.txt").read_text() == "precious"
        run("export", source, tmp_path / "slide.zarr")
        assert_failed(run("export", source, tmp_path / "slide.zarr"), "slide.zarr")

    @pytest.mark.parametrize("name", ["thumbnail.nothing", "thumbnail", "missing/thumbnail.png"])
    def test_picture_that_cannot_be_written_is_named(self, run, make_slide, tmp_path, name):
        assert_failed(run("thumbnail", make_slide().folder, tmp_path / name), name)

    @pytest.mark.parametrize("size", [0, -5])
    def test_size_has_to_be_positive(self, run, make_slide, tmp_path, size):
        out = tmp_path / "thumbnail.png"
        assert_failed(run("thumbnail", make_slide().folder, out, f"--size={size}"), "size")

    def test_debug_raises_the_error(self, tmp_path):
        with pytest.raises(OSError, match="missing"):
            main(["--debug", "info", str(tmp_path / "missing")])

    def test_interrupt_is_no_traceback(self, run, make_slide, monkeypatch):
        def interrupt(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr("dicomslide.cli.gathering.open_slides", interrupt)
        code, _, errors = run("info", make_slide().folder)
        assert (code, errors) == (130, ["dicomslide: interrupted"])


class TestWarnings:
    def test_warnings_are_one_line(self, run, make_slide, tmp_path):
        dataset = pydicom.dcmread(make_slide().paths[0])
        del dataset.ContainerIdentifier
        dataset.save_as(tmp_path / "nameless.dcm")
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code, lines, errors = run("info", tmp_path / "nameless.dcm")
        assert code == 0
        assert lines
        assert len(errors) == 1
        assert re.fullmatch(r"dicomslide: warning: .*Container Identifier.*", errors[0])

    def test_warnings_are_shown_as_before_when_the_command_has_ended(self, run, make_slide):
        before = warnings.showwarning
        run("info", make_slide().folder)
        assert warnings.showwarning is before


class TestProcess:
    """The installed command, where stderr is no terminal."""

    def test_installed_command_prints_information(self, slide):
        result = run_process("info", slide.folder)
        assert (result.returncode, result.stderr) == (0, "")
        assert "S26-77" in result.stdout

    def test_info_ends_quietly_when_nobody_reads_it(self, slide):
        read_end, write_end = os.pipe()
        os.close(read_end)
        result = subprocess.run(
            [sys.executable, "-m", "dicomslide", "info", slide.folder],
            stdout=write_end,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
        os.close(write_end)
        # As a shell tells that SIGPIPE has ended a command
        assert (result.returncode, result.stderr) == (128 + 13, b"")

    def test_export_prints_nothing(self, slide, tmp_path):
        result = run_process("export", slide.folder, tmp_path / "out.zarr")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        assert (tmp_path / "out.zarr").exists()

    def test_package_runs_as_a_module(self):
        command = [sys.executable, "-m", "dicomslide", "--version"]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert result.stdout == f"dicomslide {dicomslide.__version__}\n"

    def test_bad_input_is_one_line_and_no_traceback(self, bad):
        source, name = bad["truncated pixels"]
        result = run_process("info", source)
        assert_failed((result.returncode, [], result.stderr.splitlines()), name)
        assert result.stdout == ""

    def test_demo_writes_into_the_folder_where_it_is_called(self, tmp_path):
        (tmp_path / "dicomslide-demo").write_text("in the way")
        result = run_process("demo", cwd=tmp_path)
        assert result.returncode == 2
        assert_failed((2, [], result.stderr.splitlines()), "dicomslide-demo")
        assert Path(tmp_path / "dicomslide-demo").read_text() == "in the way"

    def test_progress_is_shown_on_a_terminal(self, slide, tmp_path):
        pty = pytest.importorskip("pty")
        terminal, end = pty.openpty()
        command = "import sys; from dicomslide.cli import main; sys.exit(main())"
        shown = b""
        with subprocess.Popen(
            [sys.executable, "-c", command, "export", slide.folder, tmp_path / "out.zarr"],
            stdout=subprocess.PIPE,
            stderr=end,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
        ) as process:
            os.close(end)
            # The terminal is gone, an error on some systems, when the process has ended
            with contextlib.suppress(OSError):
                while part := os.read(terminal, 1000):
                    shown += part
            assert process.communicate(timeout=60)[0] == b""
        os.close(terminal)
        assert process.returncode == 0
        assert b"exporting" in shown
