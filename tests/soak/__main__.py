"""Use slides for minutes on end, and tell what stays of descriptors, threads and memory.

    python -m tests.soak --minutes 10

It ends with 1 when there is more of them at the end than there was before.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydicom.uid import RLELossless

from dicomslide.testing import write_slide
from tests.soak.serving import serve
from tests.soak.use import Soak, Usage

# What comes and goes with threads and connections that are kept for the next request
SPARE = Usage(descriptors=12, threads=8, memory=24 << 20)


def growth(usages: Sequence[Usage]) -> Usage:
    """How much more there is in the last third of rounds than there was in the second one."""
    third = len(usages) // 3
    middle, last = usages[third : 2 * third], usages[2 * third :]
    return Usage(
        *(
            max(getattr(usage, name) for usage in last)
            - max(getattr(usage, name) for usage in middle)
            for name in ("descriptors", "threads", "memory")
        )
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long (%(default)s)")
    parser.add_argument("--rounds", type=int, help="end after so many rounds")
    parser.add_argument("--actions", type=int, default=200, help="actions of a round (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the actions (%(default)s)")
    parser.add_argument(
        "--s3", action=argparse.BooleanOptionalAction, default=True, help="a bucket is used, too"
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    usages: list[Usage] = []
    with tempfile.TemporaryDirectory() as folder:
        # Compressed frames, without loss
        written = write_slide(
            folder,
            size=(300, 400),
            tile=(64, 64),
            factors=(1, 2),
            transfer_syntax=RLELossless,
            icc_profile=False,
            label=False,
            overview=False,
        )
        with serve(Path(folder), s3=options.s3) as places:
            soak = Soak(written, places, options.seed)
            for number in itertools.count(1):
                usages.append(soak.go_round(options.actions))
                seconds = time.monotonic() - started
                print(f"{seconds:5.0f} s: {soak.done.total()} actions, {usages[-1]}", flush=True)
                if number == options.rounds or seconds > 60 * options.minutes:
                    break
    more = growth(usages)
    print(f"{dict(soak.done)}\ngrowth: {more}")
    return int(
        more.descriptors > SPARE.descriptors
        or more.threads > SPARE.threads
        or more.memory > SPARE.memory
    )


if __name__ == "__main__":
    raise SystemExit(main())
