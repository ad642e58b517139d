"""Detectron2's DatasetMapper, for regular files alone: it would wait for ever on a named pipe."""

from typing import Any

from detectron2.data import DatasetMapper

from vt_seg.files.regular_files import require_regular_file


class RegularFileMapper(DatasetMapper):
    """Detectron2's mapper as it is, after a look at what the files of a record are.

    Raises:
        ValueError: if the image or a mask of a record is a folder, a named pipe, a device or a
            socket; names it.
    """

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        for key in ("file_name", "sem_seg_file_name", "pan_seg_file_name"):
            if dataset_dict.get(key):
                require_regular_file(dataset_dict[key])
        return super().__call__(dataset_dict)
