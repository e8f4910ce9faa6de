"""Training data: manifests, readers of public layouts, simulators."""
