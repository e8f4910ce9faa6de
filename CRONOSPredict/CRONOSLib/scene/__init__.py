"""The only part that imports slicer: nodes, display, files of the MRML scene."""
