"""Slides over HTTP, for viewers and readers on this machine."""
