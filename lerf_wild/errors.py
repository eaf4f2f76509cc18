"""The exceptions that lerf-wild raises for anything a user can put right.

A message has one or two lines and says what was read, where, what was expected and what to do.
The command line prints it without a traceback and exits with code 2.
"""


class LerfWildError(Exception):
    """Root of every error that lerf-wild raises on purpose."""


class InputError(LerfWildError, ValueError):
    """Something that was given to lerf-wild can't be used."""


class DatasetError(InputError):
    """A scene or dataset is missing a file, or one of its files is wrong."""


class CacheError(InputError):
    """The feature cache can't be written or read."""


class EncoderError(InputError):
    """An image or text encoder can't be had or doesn't fit."""


class ExportError(InputError):
    """A result can't be written, or a file that holds one can't be read back."""


class QueryError(InputError):
    """The phrases of a query can't be used."""


class ModelFileError(InputError):
    """A file of weights or of a body model is wrong."""


class SceneProgramError(InputError):
    """A scene program doesn't parse or breaks its limits."""


class AssetError(InputError):
    """An asset of the library is missing or wrong."""


class WildlifeError(InputError):
    """A population file is wrong, or an item can't be put where it was asked for."""


class TrainingError(LerfWildError, RuntimeError):
    """Training can't go on, for example because a loss is no longer finite."""
