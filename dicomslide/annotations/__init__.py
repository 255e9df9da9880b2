"""Annotations of slides: groups of points, lines and outlines with codes and measurements."""
