"""Files and space: reading, aligning, resampling and normalising scans, and the exact way back (SimpleITK)."""
