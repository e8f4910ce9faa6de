"""Qt, CTK and MRML widgets as Slicer's Python sees them, for modules that are opened without the application.

Qt comes from PySide6, dressed in PythonQt's manners; the few CTK and qMRML widgets that the modules use act on the real
scene. Needs the package PySide6-Essentials.
"""
