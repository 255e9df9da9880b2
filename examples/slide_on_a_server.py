"""Read a slide from a DICOMweb server: ``python slide_on_a_server.py [URL]``.

URL is that of a service or of a slide, such as
``dicomweb+https://example.org/dicom-web/studies/1.2.3/series/4.5.6``. Without one, an Orthanc is
started if it is installed (``apt install orthanc orthanc-dicomweb``), and a slide stored there.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
import xarray as xr

from dicomslide.testing import write_slide

# Debian puts it where not every user looks for programs
SERVER = shutil.which("Orthanc") or shutil.which("/usr/sbin/Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def main(url: str) -> None:
    tree = xr.open_datatree(url, engine="dicomslide", chunks={})
    print(f"slide {tree.attrs['container_identifier']} of {url}")
    for name, level in tree.children.items():
        if name.startswith("level_"):
            image = level["image"].isel(channel=0, focal_plane=0)
            print(f"{name}: {image.sizes['y']} x {image.sizes['x']} pixels")
    # Frames are requested many at a time, though each chunk is one frame
    image = tree["level_1"]["image"].isel(channel=0, focal_plane=0)
    red, green, blue = image.mean(["y", "x"]).values
    print(f"mean colour of level_1: {red:.0f}, {green:.0f}, {blue:.0f}")


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Start Orthanc, and stop it in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / "orthanc.json"
    settings.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "HttpPort": port,
                "DicomServerEnabled": False,
                "Plugins": [str(PLUGIN)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    with subprocess.Popen(
        [str(SERVER), str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as orthanc:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            orthanc.terminate()


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            requests.get(url, timeout=10).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} does not answer")


def demonstrate() -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        slide = write_slide(folder / "slide", size=(2000, 3000))
        with server(folder) as origin:
            wait_for(f"{origin}/system")
            for path in slide.paths:
                requests.post(f"{origin}/instances", data=path.read_bytes(), timeout=60)
            main(f"dicomweb+{origin}/dicom-web")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    elif SERVER and PLUGIN.exists():
        demonstrate()
    else:
        print("no URL was given, and Orthanc is not installed", file=sys.stderr)
        sys.exit("usage: slide_on_a_server.py dicomweb+https://example.org/dicom-web")
