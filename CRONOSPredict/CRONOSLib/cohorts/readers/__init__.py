"""Cohorts out of folders: one file for each layout, one way in (`registry`)."""
