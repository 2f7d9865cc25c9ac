"""Inputs become objects: planned, decided on, made by workers, and listed."""
