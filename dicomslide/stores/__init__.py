"""Stores of images: files, DICOMweb services, and objects with the methods of `ImageStore`."""
