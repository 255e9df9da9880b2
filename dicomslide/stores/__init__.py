"""Stores of images: files, DICOMweb services, and whatever has the methods of `ImageStore`."""
