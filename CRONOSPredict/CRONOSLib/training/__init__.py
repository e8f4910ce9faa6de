"""Fitting a method to a cohort.

`fit.fit` is the one call; `run_folder` says what the folder of a run holds, how to see what it does and how to stop it,
and needs no torch, so that a panel can follow a run of another process; `settings.TrainSettings` is what can be chosen.
"""
