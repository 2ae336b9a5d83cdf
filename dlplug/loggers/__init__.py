"""Built-in Lightning loggers: the record of metrics in the run folder."""
