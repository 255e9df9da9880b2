"""Runs cases in processes of their own, which may crash, hang or run out of memory."""

import faulthandler
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from dicomslide.sources import retries
from tests.fuzzing.cases import Case, Cases

__all__ = ["MAX_MEMORY", "MAX_SECONDS", "run_cases", "work"]

MAX_SECONDS = 10.0
MAX_MEMORY = 512 << 20
# Time on the clock, which a busy machine has little of for each process
_PATIENCE = 300.0
_ROOT = Path(__file__).parents[2]


def run_cases(
    slides: Path, seed: str, numbers: range, doors: int, until: float = float("inf")
) -> Iterator[Case]:
    """Run cases in a process, and in another one after each that ended it.

    Parameters
    ----------
    slides : pathlib.Path
        Folder of the slides of all kinds
    seed : str
        Seed of the cases
    numbers : range
        Their numbers
    doors : int
        How many doors each goes through
    until : float
        When no more cases are begun, on the monotonic clock

    Yields
    ------
    Case
        Each case, with everything wrong among its results
    """
    while numbers and time.monotonic() < until:
        command = [sys.executable, "-m", "tests.fuzzing.workers", str(slides), seed, str(doors)]
        command += [str(number) for number in (numbers.start, numbers.stop, numbers.step)]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=_ROOT
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                case = Case(**json.loads(line))
                numbers = numbers[1:]
                yield _judge(case)
                if time.monotonic() > until:
                    process.kill()
                    return
            process.wait()
            if numbers:
                errors.seek(0)
                text = errors.read()[-3000:]
                reason = f"FAULT: the process ended with {process.returncode}: {text}"
                yield Case(numbers[0], results={"process": reason})
                numbers = numbers[1:]


def _judge(case: Case) -> Case:
    if case.seconds > MAX_SECONDS:
        case.results["time"] = f"FAULT: {case.seconds:.1f} s of processor time"
    if case.memory > MAX_MEMORY:
        case.results["memory"] = f"FAULT: {case.memory >> 20} MiB"
    return case


def work(slides: Path, seed: str, doors: int, numbers: range) -> None:
    """Run cases and print each as a line of JSON."""
    warnings.simplefilter("ignore")
    logging.disable()
    # Servers that fail are asked again, at once
    retries._FIRST_PAUSE = retries._JITTER = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Cases(slides, Path(folder), seed, doors) as cases,
    ):
        # What is imported at the first use is not what a case costs
        cases.warm_up()
        _limit_memory()
        for number in numbers:
            faulthandler.dump_traceback_later(_PATIENCE, exit=True)
            case = cases.run(number)
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps(asdict(case)), flush=True)


def _limit_memory() -> None:
    """Have more memory than is allowed be an error and not the end of other processes."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    # Threads take addresses that they do not use: what is used is measured
    limit = pages * resource.getpagesize() + 4 * MAX_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    slides, seed, doors, *numbers = sys.argv[1:]
    work(Path(slides), seed, int(doors), range(*map(int, numbers)))
