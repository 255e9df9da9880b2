"""The house: imports run down one staircase, modules are few at the top and small."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dicomslide"
MOST_AT_THE_TOP = 18
MOST_LINES = 500
# Each holds one of the documented classes, whose docstrings are long
DOCUMENTED = {"dicomslide.image", "dicomslide.matrix", "dicomslide.pyramid", "dicomslide.slide"}
# Parts of other packages that they do not promise to keep, and where they are used
PRIVATE = {
    "dask._task_spec:convert_legacy_graph": "pixels.slices",
    "dask.array.core:getter": "pixels.slices",
    "dask.core:reverse_dict": "pixels.slices",
    "dicomweb_client.file:DICOMfileClient.__init__._db_manager": "sources.clients",
    "dicomweb_client.web:DICOMwebClient.__init__._session": "sources.dicomweb",
    "dicomweb_client.web:DICOMwebClient.__init__._timeout": "sources.dicomweb",
    "fsspec.implementations.ftp:FTPFileSystem._connect": "sources.turns",
    "pydicom.dataset:Dataset.__init__._dict": "metadata.header_dataset",
    "threading:_register_atexit": "sources.waiting",
    "xarray.coding.strings:create_vlen_dtype": "tree.coordinates",
    "xarray.core.indexing:LazilyIndexedArray": "tree.variables",
    "xarray.core.indexing:VectorizedIndexer": "tree.variables",
    "xarray.core.variable:Variable._in_memory": "tree.coordinates",
    "zarr.core.buffer:Buffer": "export.sums",
    "zarr.core.buffer:BufferPrototype": "export.sums",
    "zarr.core.buffer:default_buffer_prototype": "export.stored",
    "zarr.core.sync:sync": "export.store",
}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(nodes: Iterable[ast.stmt]) -> Iterator[str]:
    """Find the modules of the package that are imported when a module is."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dicomslide"):
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("dicomslide"))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from imported([*node.body, *node.orelse])


IMPORTS = {
    name: set(imported(ast.parse(path.read_text(encoding="utf-8")).body))
    for name, path in MODULES.items()
}


def test_modules_import_each_other_in_no_circle():
    # Raises a CycleError
    assert set(TopologicalSorter(IMPORTS).static_order()) >= set(MODULES)


def test_folders_import_each_other_in_no_circle():
    graph: dict[str, set[str]] = {}
    for name, others in IMPORTS.items():
        room = graph.setdefault(".".join(name.split(".")[:2]), set())
        room |= {".".join(other.split(".")[:2]) for other in others}
    for room, others in graph.items():
        others.discard(room)
        # Names of the package itself come when they are used
        others.discard("dicomslide")
    assert set(TopologicalSorter(graph).static_order()) >= set(graph)


def test_few_modules_are_at_the_top():
    files = [path for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    assert len(files) <= MOST_AT_THE_TOP


def test_modules_are_small():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name for name, length in lengths.items() if length > MOST_LINES} <= DOCUMENTED


@pytest.mark.parametrize(("part", "user"), PRIVATE.items(), ids=list(PRIVATE))
def test_private_part_of_another_package_is_still_there(part, user):
    module, _, names = part.partition(":")
    found = importlib.import_module(module)
    *outer, last = names.split(".")
    for name in outer:
        found = getattr(found, name)
    if outer and outer[-1] == "__init__":
        # An attribute that is made there
        assert last in found.__code__.co_names, f"{part} is gone: dicomslide.{user} needs it"
    else:
        assert hasattr(found, last), f"{part} is gone: dicomslide.{user} needs another way"
    source = MODULES[f"dicomslide.{user}"].read_text(encoding="utf-8")
    assert last in source, f"dicomslide.{user} does not need {part} any more"


def test_no_other_private_part_is_used():
    listed = {part.partition(":")[0] for part in PRIVATE}
    pattern = re.compile(r"^\s*(?:from|import) ((?:xarray|zarr|dask|fsspec)[\w.]*)", re.MULTILINE)
    private = re.compile(r"\.(?:core|coding|_)")
    used = {
        module
        for path in MODULES.values()
        for module in pattern.findall(path.read_text(encoding="utf-8"))
        if private.search(module)
    }
    # "from xarray.core import indexing" imports a module of it, and fsspec documents its core
    assert used - listed <= {"xarray.core", "fsspec.core"}


def requirements(lines: Iterable[str]) -> dict[str, str]:
    """Read names and bounds, without extras."""
    found = {}
    for line in lines:
        name, bound = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?\s*(.*)", line.strip()).groups()
        found[name.lower()] = bound.replace(" ", "")
    return found


def test_environment_has_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    used = "annotations", "distributed", "http", "index", "s3", "view"
    wanted = requirements(
        line
        for line in (
            *project["dependencies"],
            *(line for name in used for line in extras[name]),
            *extras["test"],
        )
        if not line.startswith("dicomslide")
    )
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    stated = requirements(re.findall(r"^ +- ([a-z][\w.-]* >=.*)$", text, re.MULTILINE))
    assert stated.pop("python") == project["requires-python"]
    # Names that these have on conda-forge
    names = {
        "cf-xarray": "cf_xarray",
        "dask": "dask-core",
        "matplotlib": "matplotlib-base",
        "openslide-bin": "openslide",
    }
    bounds = {"openslide": ">=4.0.0"}
    expected = {names.get(name, name): bound for name, bound in wanted.items()} | bounds
    assert stated == expected


def test_every_type_of_channels_has_a_kind_with_names_of_its_own():
    from dicomslide.enum import ChannelTypes
    from dicomslide.metadata.kinds import KINDS

    assert set(KINDS) == set(ChannelTypes)
    assert all(kind.type is key for key, kind in KINDS.items())
    names = [
        name
        for kind in KINDS.values()
        for name in (kind.variable, *(c.name for c in kind.coordinates), kind.series)
        if name
    ]
    assert len(set(names)) == len(names)
    for kind in KINDS.values():
        along = {kind.series, *(coordinate.name for coordinate in kind.coordinates)}
        assert {kind.dimension, *kind.identity} <= along
