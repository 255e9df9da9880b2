"""What a process costs until it has read its first pixels: processor time and memory."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import dicomslide
from benchmarks.compare import is_there

__all__ = ["startup"]

_COMMAND = """
import contextlib, io
from dicomslide.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main({arguments})
"""
_PROGRAMS = {
    "Python alone": "",
    "`import xarray`": "import xarray",
    "`import xarray`, with its engine": "import xarray, dicomslide.tree.backend",
    "`import dicomslide`": "import dicomslide",
    "`import dicomslide`, all names": "from dicomslide import *",
    "`import wsidicom`": "import wsidicom",
    "`import openslide`": "import openslide",
    "dicomslide opens": """
import dicomslide
slide = dicomslide.open_slide(folder, correct_color=False)
""",
    "dicomslide opens and reads": """
import dicomslide
slide = dicomslide.open_slide(folder, correct_color=False)
slide.get_image_region((0, 0), 0, (256, 256))
""",
    "wsidicom opens and reads": """
import wsidicom
slide = wsidicom.WsiDicom.open(folder)
slide.read_region((0, 0), 0, (256, 256), as_array=True)
""",
    "OpenSlide opens and reads": """
import openslide
slide = openslide.OpenSlide(folder + "/level-0.dcm")
slide.read_region((0, 0), 0, (256, 256))
""",
    "`dicomslide --version`": _COMMAND.format(arguments="['--version']"),
    "`dicomslide info`": _COMMAND.format(arguments="['info', folder]"),
}
_BEGIN = "import sys\nfolder = sys.argv[1]\n"
_END = """
import json, time
# Unlike what getrusage tells, this has nothing of the process that started this one
with open("/proc/self/status") as status:
    kibibytes, = (line.split()[1] for line in status if line.startswith("VmRSS:"))
print(json.dumps([time.process_time(), int(kibibytes) / 1024]))
"""


def startup(slide: Path, compiled: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Measure programs that begin: name to seconds of the processor and memory in MiB.

    Linux tells the memory, which is what a process has at its end.

    Parameters
    ----------
    slide : Path
        Folder of a slide
    compiled : Path
        Folder for the compiled modules, so that none is compiled while it is measured
    rounds : int
        How often
    """
    found: dict[str, list[list[float]]] = {}
    environment = dict(
        os.environ,
        PYTHONPATH=str(Path(dicomslide.__file__).parents[1]),
        PYTHONPYCACHEPREFIX=str(compiled.resolve()),
    )
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    programs = {
        name: code
        for name, code in _PROGRAMS.items()
        if all(is_there(reader) for reader in ("openslide", "wsidicom") if reader in code)
    }

    def begin(code: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", _BEGIN + code + _END, str(slide.resolve())],
            capture_output=True,
            check=True,
            text=True,
            env=environment,
        )
        return json.loads(done.stdout.splitlines()[-1])

    # All programs in one process, which compiles the modules of each
    begin("\n".join(programs.values()))
    for _ in range(rounds):
        for name, code in programs.items():
            found.setdefault(name, []).append(begin(code))
    return {
        name: (statistics.median(s for s, _ in values), statistics.median(m for _, m in values))
        for name, values in found.items()
    }
