"""Stillframe: DICOM studies in, a static DICOMweb service out."""

__version__ = "0.1.0"

# Raised whenever the bytes published for the same input change, so that a rebuild notices. `archive/format_changes`
# says which instances a change touches, where their metadata do not.
FORMAT_VERSION = 6
