"""Workers that die or cannot reach the file."""

import os
import shutil
import signal
import time

import numpy as np
import pytest

from dicomslide import open_slide
from dicomslide.errors import SourceError


def test_worker_that_is_killed_does_not_change_the_result(doomed_client, make_slide):
    written = make_slide()
    image = open_slide(written.folder).to_datatree()["level_0"].image

    def slowly(block):
        time.sleep(0.1)
        return block.astype(np.int64) + 1

    running = doomed_client.compute(image.data.map_blocks(slowly, dtype=np.int64).sum())
    victim, process = next(iter(doomed_client.run(os.getpid).items()))
    while not doomed_client.processing([victim])[victim]:
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert not running.done()
    assert running.result(timeout=60) == (written.levels[0].pixels().astype(int) + 1).sum()


@pytest.mark.parametrize("chunks", [{}, "auto"])
def test_workers_that_cannot_reach_the_file_say_so(client, make_slide, tmp_path, chunks):
    folder = tmp_path / "slide"
    shutil.copytree(make_slide().folder, folder)
    (path,) = folder.glob("*.dcm")
    image = open_slide(folder).to_datatree(chunks)["level_0"].image
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError) as caught:
        image.mean().compute()
    assert str(caught.value).startswith(str(path))


def test_file_that_was_replaced_is_noticed(client, make_slide, tmp_path):
    folder = tmp_path / "slide"
    shutil.copytree(make_slide().folder, folder)
    image = open_slide(folder).to_datatree()["level_0"].image
    (path,) = folder.glob("*.dcm")
    shutil.copyfile(make_slide(seed=2).paths[0], path)
    with pytest.raises(SourceError, match="has changed"):
        image.mean().compute()
