"""The published dicomslide, which has the same import name, in a virtual environment of its own."""

import subprocess
import venv
from pathlib import Path

__all__ = ["VERSION", "published_python"]

VERSION = "0.7.2"


def published_python(folder: Path) -> Path:
    """Make the environment if it is not there yet, and get its Python.

    Raises
    ------
    subprocess.CalledProcessError
        When the package cannot be installed
    """
    environment = folder / f"dicomslide-{VERSION}"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists():
        print(f"installing dicomslide {VERSION} into {environment} ...", flush=True)
        venv.create(environment, clear=True, with_pip=True)
        install = ["-m", "pip", "install", "--quiet", f"dicomslide=={VERSION}"]
        subprocess.run([str(python), *install], check=True)
        (environment / "complete").touch()
    # Not resolved: a link to the Python of the system would lead out of the environment
    return python.absolute()
