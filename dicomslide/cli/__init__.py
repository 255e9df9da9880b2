"""The ``dicomslide`` command, whose commands import their modules on use, to start quickly."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TextIO

import dicomslide
from dicomslide.cli.options import make_parser
from dicomslide.cli.terminal import printable
from dicomslide.errors import ArgumentValueError, DicomSlideError, StoreError
from dicomslide.metadata.words import counted

__all__ = ["main"]

_FAILED = 2
# Exit codes of shells for commands that SIGINT or SIGPIPE ended
_INTERRUPTED = 130
_CLOSED = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments; those of the process by default

    Returns
    -------
    int
        Exit code: 0, 2 for bad input, or 128 plus the number of a signal that ended the command
    """
    options = make_parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            errors = _COMMANDS[options.command](options) or []
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader of the output, such as `head`, has closed the pipe: the rest is discarded
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _CLOSED
        except (DicomSlideError, OSError) as error:
            if options.debug:
                raise
            errors = [str(error)]
        except KeyboardInterrupt:
            print("dicomslide: interrupted", file=sys.stderr)
            return _INTERRUPTED
    for message in errors:
        print(f"dicomslide: error: {printable(message)}", file=sys.stderr)
    return _FAILED if errors else 0


def _open(options: argparse.Namespace) -> "dicomslide.Slide":
    return dicomslide.open_slide(
        _joined(options.source), correct_color=options.correct_color, **_choices(options)
    )


def _joined(sources: list[str]) -> str | list[str]:
    """Make the source of one slide from all that were named."""
    return sources if len(sources) > 1 else sources[0]


def _open_all(options: argparse.Namespace) -> "list[dicomslide.Slide]":
    return [
        slide
        for source in options.source
        for slide in dicomslide.open_slides(
            source, correct_color=options.correct_color, **_choices(options)
        )
    ]


def _choices(options: argparse.Namespace) -> dict[str, Any]:
    """Collect the options that select a slide and its images, as arguments of `open_slide`."""
    return {
        "container_identifier": options.container,
        "series_instance_uid": options.series,
        "pyramid_uid": options.pyramid,
        "pyramid_tolerance": options.pyramid_tolerance,
        "include_derived": options.include_derived,
        "storage_options": dict(options.storage_options) or None,
    }


def _info(options: argparse.Namespace) -> list[str]:
    """Print facts about slides, and return messages on those that could not be read."""
    from dicomslide.cli.gathering import gather_facts
    from dicomslide.cli.info import print_slides

    slides, errors = gather_facts(options.source, _choices(options), debug=options.debug)
    print_slides(slides, errors, as_json=options.json)
    return errors


def _thumbnail(options: argparse.Namespace) -> None:
    from dicomslide.cli.parts import find_channels
    from dicomslide.cli.progress import progress
    from dicomslide.thumbnail import make_thumbnail

    slide = _open(options)
    channels = find_channels(slide, options.channels)
    with progress("reading"):
        picture = make_thumbnail(
            slide,
            options.size,
            channels or None,
            options.focal_plane,
            composite=options.composite,
            max_projection=options.max_projection,
            overlay="all" in options.overlay or _segments(options.overlay),
            upright=options.upright,
        )
    try:
        picture.save(options.out)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"{options.out}: {reason}") from error


def _segments(names: Sequence[str]) -> list[str | int] | bool:
    """Read labels and numbers of segments."""
    return [int(name) if name.isdecimal() else name for name in names] or False


def _export(options: argparse.Namespace) -> None:
    from dicomslide.cli.parts import find_channels, tree_of_part
    from dicomslide.cli.progress import progress

    slide = _open(options)
    channels = find_channels(slide, options.channels)
    part: Any = slide
    if channels or options.focal_plane is not None or options.max_projection:
        part = tree_of_part(slide, channels, options.focal_plane, options.max_projection)
    with progress("exporting"):
        dicomslide.to_ome_zarr(
            part,
            options.out,
            storage_options=options.out_options and dict(options.out_options),
            version=options.version,
            chunks=options.chunks,
            shards=options.shards,
            compressor=options.compressor,
            levels=options.levels,
            labels=options.labels,
            associated=options.associated,
            overwrite=options.overwrite,
            resume=options.resume,
            errors=options.errors,
        )


def _serve(options: argparse.Namespace) -> None:
    from dicomslide.cli.serve import serve

    serve(
        _open_all(options),
        address=options.address,
        port=options.port,
        allow_origins=options.allow_origins,
        version=options.version,
        chunks=options.chunks,
        levels=options.levels,
        labels=options.labels,
        associated=options.associated,
    )


def _view(options: argparse.Namespace) -> None:
    slides = _open_all(options)
    if options.overlays and len(slides) > 1:
        raise ArgumentValueError(f"--overlay: is of one slide, and there are {len(slides)}")
    with (
        dicomslide.view(
            slides,
            options.overlays or None,
            show=options.show,
            show_label=options.show_label,
            address=options.address,
            port=options.port,
        ) as viewer,
        suppress(KeyboardInterrupt),
    ):
        print(f"{viewer.url}\nStop with Ctrl-C", flush=True)
        viewer.wait()


def _annotations(options: argparse.Namespace) -> None:
    from dicomslide.cli import annotations
    from dicomslide.cli.facts import read_annotation_facts
    from dicomslide.cli.info import print_annotations

    groups = _open(options).annotations
    for write, path in (
        (annotations.write_csv, options.csv),
        (annotations.write_geojson, options.geojson),
        (annotations.write_parquet, options.parquet),
    ):
        if path is not None:
            if not groups:
                from dicomslide.sources.urls import name_of_url

                names = ", ".join(map(name_of_url, options.source))
                raise ArgumentValueError(f"{names}: there are no annotations")
            write(groups, path)
            print(f"{path}: {counted(sum(map(len, groups)), 'annotation')}")
            return
    print_annotations([read_annotation_facts(group) for group in groups])


def _annotate(options: argparse.Namespace) -> None:
    dicomslide.write_annotations(
        options.cells,
        options.out,
        slide=_open(options),
        coordinate_type="3D" if options.is_3d else "2D",
        precision="double" if options.double else "float",
        label=options.label,
        algorithm=options.algorithm and tuple(options.algorithm),
        overwrite=options.overwrite,
    )


def _index(options: argparse.Namespace) -> None:
    from dicomslide.cli.progress import progress

    with progress("indexing"):
        index = dicomslide.index_slides(
            options.source or None,
            options.out,
            errors=options.errors,
            storage_options=dict(options.storage_options) or None,
            index_options=options.index_options and dict(options.index_options),
        )
    from dicomslide.sources.urls import name_of_url

    print(f"{name_of_url(options.out)}: {counted(len(index), 'slide')}")


def _headers(options: argparse.Namespace) -> None:
    from dicomslide.cli.headers import write_headers

    storage_options = dict(options.storage_options) or None
    count = write_headers(_joined(options.source), options.out, storage_options)
    print(f"{options.out}: headers of {counted(count, 'image')}; look at them before you send them")


def _demo(options: argparse.Namespace) -> None:
    from dicomslide.cli.demo import run_demo
    from dicomslide.cli.progress import progress

    run_demo(options.folder, print, progress)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"dicomslide: warning: {printable(message)}", file=file or sys.stderr)


_COMMANDS: dict[str, Callable[[argparse.Namespace], list[str] | None]] = {
    "info": _info,
    "thumbnail": _thumbnail,
    "export": _export,
    "serve": _serve,
    "view": _view,
    "annotations": _annotations,
    "annotate": _annotate,
    "index": _index,
    "headers": _headers,
    "demo": _demo,
}
