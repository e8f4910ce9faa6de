"""Trained models on disk: save, load, verify, list."""
