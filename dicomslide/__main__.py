"""Runs the ``dicomslide`` command: ``python -m dicomslide``."""

import sys

from dicomslide.cli import main

sys.exit(main())
