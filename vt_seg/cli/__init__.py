"""The command `vt-seg`: a file for each sub-command, which the scripts in tools/ run, too."""
