"""Progress bar for computations of dask on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dask.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["progress"]


@contextmanager
def progress(description: str) -> Iterator[None]:
    """Show the progress of computations in the block on stderr, if that is a terminal."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(description, total=None)

        def start(graph: Any, state: dict[str, Any]) -> None:
            bar.reset(task, total=sum(len(state[part]) for part in ("ready", "waiting")))

        def advance(*_: Any) -> None:
            bar.advance(task)

        with Callback(start_state=start, posttask=advance):
            yield
