"""Files: written atomically, read only if they are regular, found in folders; text in UTF-8."""

from .atomic_writer import (
    atomic_file,
    name_if_free,
    one_at_a_time,
    remove_unfinished,
    write_atomically,
)
from .folder_walk import (
    FolderFiles,
    files_in,
    is_system_name,
    only_folder,
    walk_folders,
    walk_following_links,
)
from .identity import file_identity, folded_name, normalized_name, visible_name
from .output_names import output_names
from .path_checks import check_names_below, path_below, read_bytes, require_regular_file
from .text_files import read_text
from .yaml_and_json import DataError, parse_json, parse_yaml

__all__ = [
    "DataError", "FolderFiles", "atomic_file", "check_names_below", "file_identity", "files_in",
    "folded_name", "is_system_name", "name_if_free", "normalized_name", "one_at_a_time",
    "only_folder", "output_names", "parse_json", "parse_yaml", "path_below", "read_bytes",
    "read_text", "remove_unfinished", "require_regular_file", "visible_name", "walk_folders",
    "walk_following_links", "write_atomically",
]  # fmt: skip
