"""The form of torch's archives: what torch never writes is refused before anything is read."""

import os
from collections import Counter
from pathlib import PurePosixPath
from zipfile import ZIP_STORED, BadZipFile, ZipFile


def malformation(path: str | os.PathLike) -> str | None:
    """How a file differs from what ``torch.save`` writes, or None; reads the directory only.

    torch stores every part as it is, once, under one folder. A part that is compressed can be a
    thousand times as large as the file, and of two parts with one name each reader takes another.
    """
    try:
        with ZipFile(path) as archive:
            parts = archive.infolist()
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        return f"it is no archive of torch: {error}"
    names = [part.filename for part in parts]
    tops = {PurePosixPath(name).parts[:1] for name in names}
    if len(tops) != 1 or any(".." in PurePosixPath(name).parts for name in names):
        return "its parts do not stand in one folder"
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        return f"it has two parts {twice}"
    packed = next((part.filename for part in parts if part.compress_type != ZIP_STORED), None)
    if packed is not None:
        return f"its part {packed} is compressed, which torch never does"
    if sum(part.file_size for part in parts) > os.path.getsize(path):
        return "its parts overlap"
    return None
