"""The panel of CRONOS Predict: one file for each section, and what a section shows, free of Qt, beside it."""
