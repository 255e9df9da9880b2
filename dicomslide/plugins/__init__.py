"""Plugins for other programs, which find them by entry points of the package."""
