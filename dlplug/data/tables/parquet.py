"""Records of a Parquet file."""

from pathlib import Path

from dlplug.data.paths import resolve_path
from dlplug.data.tables.source import Source, check_table, need_arrow
from dlplug.data.tables.table_data import TableData
from dlplug.errors import DataError


class Parquet(TableData):
    """A Parquet file, or a folder of them. Rows are counted from 1.

    Args:
        path: The file; ``package:NAME/inner/path`` for one inside an installed package.
        target: Column to predict, or several: of numbers, or of labels 0 and 1.
        table: Arguments of `TableData`.
    """

    def __init__(self, path: str, target: str | list[str], **table):
        super().__init__(path, target, **table)

    def read(self, path: str | Path) -> Source:
        """See `TableData.read`."""
        need_arrow("parquet")
        import pyarrow
        from pyarrow import parquet

        path = resolve_path(path)
        try:
            table = parquet.read_table(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}") from error
        return check_table(Source(str(path), table, lambda row: f"row {row + 1}"))
