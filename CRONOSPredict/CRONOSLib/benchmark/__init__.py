"""Every method on every cohort with every seed, under the same conditions."""
