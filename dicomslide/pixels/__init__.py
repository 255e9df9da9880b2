"""Bytes of frames to arrays of pixels."""
