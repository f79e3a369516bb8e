"""Errors whose message is written for the user, who is shown it without a traceback."""


class UserError(Exception):
    """Something the user can mend; the message names the culprit and, where known, the remedy."""


class ConfigError(UserError):
    """A configuration that cannot be run."""


class DataError(UserError):
    """A dataset that cannot be read: the message names the file and the entry."""


class ArtifactError(UserError):
    """A damaged, foreign or outdated artifact: the message names the file and how to rebuild it."""


class StorageError(UserError, OSError):
    """A file that cannot be written: the message names it and says why."""


class ArchitectureError(UserError, ValueError):
    """A network that cannot be built for the images at hand."""


class TrainingError(UserError):
    """A training that cannot go on, such as one whose loss is not finite."""


class AnalysisError(UserError):
    """An analysis of images on which there is nothing to analyse."""


class CertificateError(UserError, ValueError):
    """A network or an image that no certificate can be made for."""
