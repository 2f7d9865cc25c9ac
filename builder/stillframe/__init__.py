"""Stillframe: DICOM studies in, a static DICOMweb service out."""

__version__ = "0.1.0"

# Raised whenever the bytes published for the same input change, so that a rebuild notices.
FORMAT_VERSION = 1
