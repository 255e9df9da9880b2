"""Placement of the images of a slide: positions, levels, channels and focal planes."""
