from os.path import join

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Puts copies of the configs and of the installer of Detectron2 into the package."""

    def run(self):
        """Build the package, and add the copies unless it stays in the checkout."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("configs", join(self.build_lib, "vt_seg", "configs"))
            self.copy_file("dev/install_detectron2.py", join(self.build_lib, "vt_seg"))


setup(cmdclass={"build_py": BuildWithConfigs})
