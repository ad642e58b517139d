from os.path import join

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Puts a copy of the configs, whose home is the top-level folder, into the package."""

    def run(self):
        """Build the package, and add the configs unless it stays in the checkout."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("configs", join(self.build_lib, "vt_seg", "configs"))


setup(cmdclass={"build_py": BuildWithConfigs})
