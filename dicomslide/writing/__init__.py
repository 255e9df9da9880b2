"""Results as DICOM: Segmentations and Parametric Maps, written frame by frame."""
