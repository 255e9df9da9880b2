"""Readers of the attributes of a DICOM data set: pure functions without input or output."""
