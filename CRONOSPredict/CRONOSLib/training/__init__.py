"""Fitting a method to a cohort."""
