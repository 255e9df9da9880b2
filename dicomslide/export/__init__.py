"""Slides in other formats."""
