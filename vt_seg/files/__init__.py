"""Files: written atomically, read only if they are regular, found in folders; text in UTF-8."""

from .atomic_writer import atomic_file, one_at_a_time, remove_unfinished, write_atomically
from .folder_walk import only_folder, walk_folders, walk_following_links
from .path_checks import check_names_below, path_below, require_regular_file
from .text_files import read_text

__all__ = [
    "atomic_file", "check_names_below", "one_at_a_time", "only_folder", "path_below", "read_text",
    "remove_unfinished", "require_regular_file", "walk_folders", "walk_following_links",
    "write_atomically",
]  # fmt: skip
