"""One file per command of `cronos`."""
