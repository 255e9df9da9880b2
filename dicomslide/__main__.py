"""Entry point of ``python -m dicomslide``, which runs the ``dicomslide`` command."""

import sys

from dicomslide.cli import main

sys.exit(main())
