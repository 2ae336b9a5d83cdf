"""Series in time: files of whole series with a class each, and windows of one long series."""
