"""Simulated patients with known truth: growth in the MNI152 anatomy, scanned as a scanner would."""
