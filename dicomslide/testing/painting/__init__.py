"""Synthetic tissue: every pixel of it is a function of its position."""
