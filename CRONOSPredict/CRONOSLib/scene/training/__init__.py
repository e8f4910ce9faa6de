"""The panel of CRONOS Train: one file for each section, over what they share in `state`."""
