"""What a user can mend.

Every error of this family carries one sentence that says what is wrong and what to do about it; the panel, the
console and the command line show that sentence and nothing else. Any other exception is a bug.
"""


class CronosError(Exception):
    """Base of all errors that a user can mend."""


class DateError(CronosError):
    """An acquisition date is missing, ambiguous or unreadable."""


class SeriesError(CronosError):
    """The scans do not make a longitudinal series, or the target time does not suit it."""


class ImageError(CronosError):
    """A file or volume is not a 3D scan that can be forecast."""


class AlignmentError(CronosError):
    """Two scans cannot be brought together in space."""


class MethodError(CronosError):
    """A method cannot forecast this series, or its settings contradict each other."""


class OutOfMemoryError(MethodError):
    """A forecast does not fit into the memory of the device it runs on."""


class BundleError(CronosError):
    """A trained model on disk is missing, damaged or not understood."""


class CohortError(CronosError):
    """Training data are missing, damaged or leak between the splits."""


class TrainingStopped(CronosError):
    """A training run ended because it was asked to; it goes on from its last checkpoint."""


class OutputError(CronosError):
    """A result cannot be written where it was asked for."""


class MissingPackageError(CronosError):
    """A package that this step needs is not installed."""


class WorkerError(CronosError):
    """The process that forecasts could not start, or ended before it answered."""
