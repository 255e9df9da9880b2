"""Export to OME-Zarr, versions 0.4 to 0.6 (https://ngff.openmicroscopy.org)."""

import os
import uuid
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Literal

import dask
import xarray as xr
import zarr
from dask.delayed import Delayed
from dask.system import CPU_COUNT
from zarr.abc.store import Store
from zarr.storage import StorePath

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentValueError, StoreError
from dicomslide.export.choices import ERRORS
from dicomslide.export.grid import Division
from dicomslide.export.journal import Journal
from dicomslide.export.plan import PROJECT, Plan, make_plan, require_choice
from dicomslide.export.store import Target, is_far, naming, open_target
from dicomslide.export.stored import StoredArray
from dicomslide.export.tasks import find_done, make_tasks
from dicomslide.metadata.words import counted
from dicomslide.slide import Slide

__all__ = ["to_ome_zarr"]

Sizes = int | tuple[int, int] | tuple[int, int, int, int] | None


def to_ome_zarr(
    slide_or_tree: Slide | xr.DataTree,
    store: str | os.PathLike[str] | Store | StorePath,
    *,
    storage_options: Mapping[str, Any] | None = None,
    version: Literal["0.4", "0.5", "0.6"] = "0.5",
    chunks: Sizes = None,
    shards: Sizes = None,
    compressor: Any = "blosc",
    levels: Literal["stored", "dyadic"] = "stored",
    labels: bool = True,
    associated: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    compute: bool = True,
    errors: Literal["raise", "fill"] = "raise",
) -> Delayed | None:
    """Write a slide as an OME-Zarr image with its levels, labels and associated images.

    The image of the store is that of the optical paths, with axes (c, z, y, x) in micrometres;
    colour is three channels. Optical paths with another type of pixels, other focal planes or
    another largest level are separate images. Segments and label maps are under ``labels``, with
    axes (z, y, x), Parametric Maps are separate images, and LABEL and OVERVIEW images, if they are
    requested, are under ``associated``. Levels that do not show all channels and focal planes of an
    image are left out.

    Pixels are written a block at a time, each chunk or shard by one task, so that memory does not
    grow with the slide. The metadata that make the store an OME-Zarr image are written last, so
    that an unfinished store is not taken for one.

    Parameters
    ----------
    slide_or_tree : Slide or xarray.DataTree
        Slide, or the tree of one, which may have a part of the levels or pixels, or pixels that
        were computed from those of the slide
    store : path, str or zarr store
        Folder or URL that fsspec knows, such as ``s3://…``, or a Zarr store
    storage_options : dict, optional
        Options of the file system of a URL `store`; those of the slide are passed to `open_slide`
    version : {"0.5", "0.4", "0.6"}, optional
        Version of OME-Zarr: 0.4 is Zarr 2, the others are Zarr 3. In 0.6 the coordinate system
        ``slide`` has the position of the image on the slide
    chunks : int or tuple of int, optional
        Size of a chunk: one for rows and columns, (rows, columns) or (c, z, y, x). By default whole
        frames, so that none is decoded twice: close to 512 by 512 of one channel and focal plane,
        and behind URLs of buckets and servers close to 1024 by 1024 of all channels together, if
        these have 8 MiB at most, as each chunk costs its readers a request
    shards : int or tuple of int, optional
        Size of a shard, a whole multiple of chunks; by default there are no shards. Not in version
        0.4
    compressor : {"blosc", "zstd", "gzip", "none"} or codec, optional
        Codec of the chunks: a name, or one or several codecs as `zarr.create_array` takes them
    levels : {"stored", "dyadic"}, optional
        Whether levels are those of the slide, or have the factors 1, 2, 4, … and are computed if
        the slide lacks them: by area means, or the most frequent label
    labels : bool, optional
        Whether segments and label maps are written
    associated : bool, optional
        Whether LABEL and OVERVIEW images are written. Label images show patient data, and an
        overview may show the label
    overwrite : bool, optional
        Whether an existing Zarr store is deleted first. Anything else at `store` is an error
    resume : bool, optional
        Whether an unfinished store is completed; written blocks are kept
    compute : bool, optional
        Whether the store is written now. Otherwise only its arrays are created
    errors : {"raise", "fill"}, optional
        Whether a frame that cannot be decoded is an error, or becomes background with a warning.
        ``"fill"`` is not possible for a tree with chunks

    Returns
    -------
    dask.delayed.Delayed or None
        With ``compute=False`` the task that writes the store when it is computed, by any scheduler;
        its result is a list of messages on frames that were filled

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When an argument has an invalid value, the slide has no optical paths, or a frame cannot be
        decoded
    OSError
        When `store` exists already, cannot be written, or cannot be resumed as it is an export of
        another slide or with other options
    """
    require_type("storage_options", storage_options, Mapping, type(None))
    require_choice("errors", errors, ERRORS)
    if overwrite and resume:
        raise ArgumentValueError("overwrite: cannot be combined with resume")
    plan = make_plan(
        slide_or_tree,
        version=version,
        division=Division.of(chunks, shards, is_far=is_far(store)),
        compressor=compressor,
        levels=levels,
        labels=labels,
        associated=associated,
        fill=errors == "fill",
    )
    target = open_target(store, storage_options, plan.format)
    started = _start(plan, target, overwrite, resume)
    if started is None:
        return None if compute else dask.delayed([])
    stored, journal = started
    # The pool is left only when all its threads have ended, so that none writes after an error
    with (
        target.held() if compute else nullcontext(),
        ThreadPoolExecutor(CPU_COUNT) as pool,
        dask.config.set(pool=pool),
    ):
        done = find_done(stored, journal) if resume else set()
        tasks = make_tasks(plan, stored, journal, done)
        if not compute:
            return tasks
        problems = tasks.compute()
    if problems:
        warnings.warn(
            f"{target.name}: {counted(len(problems), 'frame')} could not be decoded, "
            f"filled with background: {'; '.join(problems)}",
            stacklevel=2,
        )
    return None


def _start(
    plan: Plan, target: Target, overwrite: bool, resume: bool
) -> tuple[dict[str, StoredArray], Journal] | None:
    """Create or find the arrays of the store; None where it is complete already."""
    # Sizes are computed first, so that invalid ones are an error before anything is created
    count, size = plan.num_blocks, plan.most_pieces
    with target.alone() as is_alone, naming(target.name):
        group = target.group()
        unfinished = None if group is None else Journal.fingerprint(target, group)
        is_complete = False
        if resume and group is not None:
            is_complete = _is_complete(plan, target, group, unfinished)
        elif overwrite and unfinished not in (None, plan.fingerprint) and not is_alone:
            raise StoreError(
                f"{target.name}: an export of another slide or with other options is not "
                "finished, and may be running; delete the store if it is not"
            )
        else:
            group, unfinished = target.prepare(group, overwrite), None
        journal = Journal(target, uuid.uuid4().hex)
        if not is_complete:
            if unfinished is None:
                journal.begin(group, plan.fingerprint, count, size)
            else:
                journal.resume(group)
            plan.create_arrays(group)
            # Another process may have begun in the meantime, as some stores cannot be locked
            journal.require()
        stored = plan.stored(journal)
        for array in stored.values():
            array.require()
    return None if is_complete else (stored, journal)


def _is_complete(plan: Plan, target: Target, group: zarr.Group, unfinished: str | None) -> bool:
    """Whether a store that is to be resumed is complete.

    Raises
    ------
    StoreError
        When the store is not an export of this slide with these options
    """
    attributes = group.attrs.asdict()
    is_same = group.metadata.zarr_format == plan.format
    if attributes or list(group):
        facts = attributes.get(PROJECT)
        stated = facts.get("fingerprint") if isinstance(facts, dict) else None
        is_same = is_same and (unfinished or stated) == plan.fingerprint
    if not is_same:
        raise StoreError(
            f"{target.name}: cannot be resumed, as it is not an export of this slide with these "
            "options"
        )
    return unfinished is None and bool(attributes)
