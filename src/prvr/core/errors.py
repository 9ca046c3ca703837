"""What goes wrong, said so that the reader can go on.

Every message names the thing, the place and the next step, in one line::

    PrvrError
    ├── ConfigError     a setting, a recipe, a command line
    ├── VideoError      a file that cannot be read as video
    │   └── OtherFile   one that is not the one that was read
    ├── EncoderError    a backbone that cannot be had or used
    │   └── DownloadStopped one that somebody stopped while it was fetched
    ├── FeatureError    a feature store, its header, its files
    ├── DataError       annotations and data sets
    ├── CheckpointError a run, its weights, its resume state
    ├── IndexFolderError an index folder
    ├── QueryError      a sentence that cannot be searched for
    └── ClusterError    a cluster that cannot be reached, or whose nodes differ
"""

from __future__ import annotations


class PrvrError(Exception):
    """Something the user can mend; the CLI prints it as one line, without a traceback."""


class ConfigError(PrvrError):
    """A setting, a recipe name or a command line that makes no sense."""


class VideoError(PrvrError):
    """A file that cannot be read as a video."""


class OtherFile(VideoError):
    """A file that is not the one that was read."""


class EncoderError(PrvrError):
    """An encoder that is not there, or that cannot do what was asked."""


class DownloadStopped(EncoderError):
    """A model that was asked not to be fetched any further; what came is kept."""


class FeatureError(PrvrError):
    """A feature store that is damaged, foreign, locked or full."""


class DataError(PrvrError):
    """Annotations or a data set that do not fit together."""


class CheckpointError(PrvrError):
    """A run folder or a checkpoint that cannot be used."""


class IndexFolderError(PrvrError):
    """An index folder that is damaged, foreign or of another encoder or model."""


class QueryError(PrvrError):
    """A query that cannot be searched for."""


class ClusterError(PrvrError):
    """A cluster that cannot be had, or machines in it that cannot do the work."""
