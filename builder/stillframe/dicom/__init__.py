"""Data sets without their pixels: read from files, and written as DICOM JSON."""
