"""Conversion of encoded frames to arrays of pixels."""
