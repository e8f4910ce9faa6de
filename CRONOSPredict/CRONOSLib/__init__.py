"""CRONOS: forecasting of longitudinal 3D scans. A library that needs no Slicer."""

__version__ = "0.1.0"
