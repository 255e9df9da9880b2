"""Orthanc with its DICOMweb plugin, from the Debian packages orthanc and orthanc-dicomweb.

>>> with run_orthanc(tmp_path) as orthanc:
...     orthanc.upload(slide.paths)
...     open_slide(f"dicomweb+{orthanc.url}")
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests

from tests.servers.process import run_server

__all__ = ["Orthanc", "find_orthanc", "run_orthanc"]

_PROGRAMS = ("Orthanc", "/usr/sbin/Orthanc")
_PLUGINS = (
    "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
    "/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so",
)


@dataclass(frozen=True)
class Orthanc:
    """A running server; `origin` is its scheme, host and port."""

    origin: str
    user: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """URL of the DICOMweb service."""
        return f"{self.origin}/dicom-web"

    def upload(self, paths: Iterable[Path]) -> None:
        """Store files."""
        with requests.Session() as session:
            session.auth = self.user
            for path in paths:
                answer = session.post(f"{self.origin}/instances", data=Path(path).read_bytes())
                answer.raise_for_status()

    def clear(self) -> None:
        """Delete everything that is stored."""
        with requests.Session() as session:
            session.auth = self.user
            for patient in session.get(f"{self.origin}/patients").json():
                session.delete(f"{self.origin}/patients/{patient}").raise_for_status()


def find_orthanc() -> tuple[str, str] | None:
    """Find the program and its plugin; None where one of them is not installed."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    plugin = next((path for path in _PLUGINS if Path(path).exists()), None)
    return (program, plugin) if program and plugin else None


@contextmanager
def run_orthanc(
    folder: Path,
    user: tuple[str, str] | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
    web_settings: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[Orthanc]:
    """Run Orthanc with an empty storage.

    Parameters
    ----------
    folder : pathlib.Path
        Where it stores everything
    user : tuple of str, optional
        Name and password that every request needs
    settings, web_settings : mapping
        More of its configuration, and of that of its DICOMweb plugin

    Raises
    ------
    RuntimeError
        When it is not installed or does not start
    """
    found = find_orthanc()
    if found is None:
        raise RuntimeError("orthanc and orthanc-dicomweb are not installed")
    program, plugin = found
    configuration = folder / "orthanc.json"

    def command(port: int) -> list[str]:
        found = _configure(folder / "storage", port, plugin, user)
        web = {**found["DicomWeb"], **web_settings}
        configuration.write_text(json.dumps({**found, **settings, "DicomWeb": web}))
        return [program, str(configuration)]

    with run_server(command, folder / "orthanc.log") as port:
        yield Orthanc(f"http://127.0.0.1:{port}", user)


def _configure(storage: Path, port: int, plugin: str, user: tuple[str, str] | None) -> dict:
    return {
        "Name": "dicomslide tests",
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": user is not None,
        "RegisteredUsers": dict([user] if user else []),
        "SaveJobs": False,
        "Plugins": [plugin],
        # The host is that of the configuration which Debian installs: URLs lack the port
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Host": "localhost"},
    }
