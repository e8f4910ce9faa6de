"""One file per published system, all behind one interface."""
