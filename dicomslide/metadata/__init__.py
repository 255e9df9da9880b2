"""What the attributes of a DICOM data set say: pure functions, no input or output, no pixels."""
