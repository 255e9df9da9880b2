"""The options of the ``dicomslide`` command."""

import argparse
import json
from pathlib import Path
from typing import Any, Literal

import dicomslide
from dicomslide.export.choices import COMPRESSORS, ERRORS, LEVELS, VERSIONS

__all__ = ["make_parser"]

_SIZES = "N, ROWS,COLUMNS or C,Z,Y,X"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, whose results name the command as ``command``."""
    parser = argparse.ArgumentParser(
        prog="dicomslide", description="Look at DICOM whole slide images, and convert them."
    )
    parser.add_argument(
        "--version", action="version", version=f"dicomslide {dicomslide.__version__}"
    )
    parser.add_argument(
        "--debug", action="store_true", help="show where in the code an error arises"
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )

    info = _add(commands, "info", "show what slides consist of")
    thumbnail = _add(commands, "thumbnail", "make a small picture of a slide")
    export = _add(commands, "export", "write a slide as OME-Zarr")
    serve = _add(commands, "serve", "serve slides to readers of OME-Zarr and Deep Zoom")
    view = _add(commands, "view", "look at slides in the browser")
    annotations = _add(commands, "annotations", "list the annotations of a slide, or write them")
    annotate = _add(commands, "annotate", "make annotations of a GeoJSON file, as QuPath writes it")
    for command in (info, thumbnail, export, serve, view, annotations, annotate):
        one = command not in (info, serve, view)
        _add_source_options(command, "; all of them are one slide" if one else "")
        command.add_argument(
            "--container",
            metavar="ID",
            help="Container Identifier of the slide, where there are several",
        )
        command.add_argument(
            "--series", metavar="UID", help="Series Instance UID of its images, likewise"
        )
        command.add_argument(
            "--pyramid",
            metavar="UID",
            help="Pyramid UID of the slide, where one glass slide was scanned several times",
        )
        command.add_argument(
            "--pyramid-tolerance",
            type=float,
            default=0.1,
            metavar="MM",
            help="how far apart the centres of levels may lie (%(default)s mm)",
        )
        command.add_argument(
            "--no-derived",
            dest="include_derived",
            action="store_false",
            help="leave Segmentations, Parametric Maps and annotations out",
        )

    info.add_argument(
        "--json", action="store_true", help="print one JSON document, for other programs"
    )
    _add_view_options(view)
    _add_serve_options(serve)
    thumbnail.add_argument("out", metavar="OUT.png", type=Path, help="picture to write")
    thumbnail.add_argument(
        "--size",
        type=int,
        default=1024,
        metavar="N",
        help="pixels of the longer side (%(default)s)",
    )
    thumbnail.add_argument(
        "--composite",
        action="store_true",
        default=None,
        help="add channels in their display colours (the default for several channels)",
    )
    thumbnail.add_argument(
        "--upright",
        action="store_true",
        help="turn the picture the way that the slide stands, instead of as it is stored",
    )
    thumbnail.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="NAME",
        help="segment to lay over the picture: its label or number, or all (several times for "
        "several segments)",
    )
    _add_export_options(export)
    for command in (thumbnail, export, serve, view):
        command.add_argument(
            "--no-color-correction",
            dest="correct_color",
            action="store_false",
            help="leave the colours as they are stored, without applying the ICC profile",
        )
    for command in (thumbnail, export):
        command.add_argument(
            "--channel",
            dest="channels",
            action="append",
            default=[],
            metavar="NAME",
            help="channel to take: its number as info lists it, or its marker or description "
            "(several times for several channels)",
        )
        command.add_argument(
            "--focal-plane",
            type=int,
            metavar="N",
            help="number of the focal plane to take, from 0, the lowest, on",
        )
        command.add_argument(
            "--max-projection",
            action="store_true",
            help="take the brightest pixel of all focal planes",
        )

    _add_annotation_options(annotations, annotate)

    index = _add(commands, "index", "index slides, so that they open without a request")
    _add_source_options(
        index, ", each with all images of its slides; those of the index without any", "*"
    )
    index.add_argument("out", metavar="INDEX", help="folder of the index: a path or URL")
    index.add_argument(
        "--index-option",
        dest="index_options",
        action="append",
        type=_option,
        metavar="KEY=VALUE",
        help="option of the file system of the index, if that is a URL (those of the sources)",
    )
    index.add_argument(
        "--skip-errors",
        dest="errors",
        action="store_const",
        const="skip",
        default="raise",
        help="leave slides out that cannot be opened, and tell why",
    )

    headers = _add(commands, "headers", "write headers that name nobody, to report a fault with")
    _add_source_options(headers, "")
    headers.add_argument("out", metavar="OUT.zip", type=Path, help="archive to write")

    demo = _add(commands, "demo", "write a synthetic slide, analyse and convert it")
    demo.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=Path,
        default=Path("dicomslide-demo"),
        help="new folder for the results (%(default)s)",
    )
    return parser


def _add_source_options(
    command: argparse.ArgumentParser, meaning: str, count: Literal["+", "*"] = "+"
) -> None:
    add = command.add_argument
    add(
        "source",
        metavar="SOURCE",
        nargs=count,
        help=f"folder, DICOM file or URL of a slide, or several of them{meaning}",
    )
    add(
        "--storage-option",
        dest="storage_options",
        action="append",
        default=[],
        type=_option,
        metavar="KEY=VALUE",
        help="option of the file system of a URL, such as endpoint_url=https://...; VALUE is JSON "
        "or text (several times for several options)",
    )
    add(
        "--anon",
        dest="storage_options",
        action="append_const",
        const=("anon", True),
        help="read a public bucket without credentials: --storage-option anon=true",
    )


def _add_annotation_options(
    annotations: argparse.ArgumentParser, annotate: argparse.ArgumentParser
) -> None:
    for command in (annotations, annotate):
        # No pixels are read, so that no ICC profiles are needed
        command.set_defaults(correct_color=False)
    forms = annotations.add_mutually_exclusive_group()
    forms.add_argument(
        "--csv", metavar="OUT.csv", type=Path, help="a line for each, with what was measured"
    )
    forms.add_argument(
        "--geojson",
        metavar="OUT.geojson",
        type=Path,
        help="outlines in pixels of the largest level, for QuPath",
    )
    forms.add_argument(
        "--parquet", metavar="OUT.parquet", type=Path, help="outlines in millimetres on the slide"
    )
    add = annotate.add_argument
    add("cells", metavar="CELLS.geojson", type=Path, help="outlines in pixels of the largest level")
    add("out", metavar="OUT.dcm", help="Microscopy Bulk Simple Annotations to write: path or URL")
    add("--label", default="annotations", help="label of what has none (%(default)s)")
    add(
        "--algorithm",
        nargs=2,
        metavar=("NAME", "VERSION"),
        help="what made them; without it people did",
    )
    add("--3d", dest="is_3d", action="store_true", help="store millimetres instead of pixels")
    add("--double", action="store_true", help="store coordinates as 64-bit floats")
    add("--overwrite", action="store_true", help="replace OUT.dcm")


def _add_export_options(export: argparse.ArgumentParser) -> None:
    add = export.add_argument
    add("out", metavar="OUT.ome.zarr", help="store to write: a folder, or a URL such as s3://...")
    add(
        "--out-option",
        dest="out_options",
        action="append",
        type=_option,
        metavar="KEY=VALUE",
        help="option of the file system of the store, if that is a URL, such as "
        "endpoint_url=https://...; VALUE is JSON or text (several times for several options)",
    )
    _add_zarr_options(export)
    add("--shards", type=_sizes, metavar="N", help=f"size of a shard: {_SIZES} (none)")
    add("--compressor", choices=COMPRESSORS, default="blosc", help="codec (%(default)s)")
    add("--overwrite", action="store_true", help="replace a Zarr store that is there already")
    add("--resume", action="store_true", help="finish a store that was interrupted")
    add(
        "--errors",
        choices=ERRORS,
        default="raise",
        help="frames that cannot be decoded: stop, or fill them and tell (%(default)s)",
    )


def _add_serve_options(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    _add_zarr_options(serve)
    add(
        "--allow-origin",
        dest="allow_origins",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin whose pages may read the slides, such as https://example.org (several times "
        "for several origins)",
    )
    _add_place_options(serve)


def _add_zarr_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--version", choices=VERSIONS, default="0.5", help="version of OME-Zarr (%(default)s)")
    add("--chunks", type=_sizes, metavar="N", help=f"size of a chunk: {_SIZES} (whole frames)")
    add(
        "--levels",
        choices=LEVELS,
        default="stored",
        help="levels of the slide, or all of factors 1, 2, 4, ... (%(default)s)",
    )
    add("--no-labels", dest="labels", action="store_false", help="leave segments out")
    add(
        "--associated",
        action="store_true",
        help="also LABEL and OVERVIEW images, which may show patient data",
    )


def _add_place_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--port", type=int, default=0, metavar="N", help="port to listen at (one that is free)")
    add(
        "--address",
        default="127.0.0.1",
        metavar="IP",
        help="interface to listen at; others than %(default)s are reached from other machines, "
        "without encryption",
    )


def _add_view_options(view: argparse.ArgumentParser) -> None:
    add = view.add_argument
    add(
        "--overlay",
        dest="overlays",
        action="append",
        default=[],
        metavar="PATH",
        help="Zarr store or image file of a mask to lay over the slide (repeat it for several)",
    )
    add(
        "--show-label",
        action="store_true",
        help="also show the label, and images that it is in, which may show patient data",
    )
    add(
        "--no-browser",
        dest="show",
        action="store_false",
        help="only print the address of the page",
    )
    _add_place_options(view)


def _sizes(text: str) -> tuple[int, ...]:
    """Parse sizes that are separated by commas."""
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected sizes such as 512,512") from None


def _option(text: str) -> tuple[str, Any]:
    """Parse the name of an option and its value, which is JSON or text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _add(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    return command
