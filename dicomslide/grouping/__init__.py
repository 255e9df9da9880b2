"""Grouping of images by the slides that they belong to."""
