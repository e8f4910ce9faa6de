"""Metrics, skill against copying the last scan, and tables."""
