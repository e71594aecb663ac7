"""What a Bento's image holds: a slim Python and the pinned packages that serving needs, nothing else."""

from __future__ import annotations

import sys

from bentoml.images import Image

from gnas_serve.service.requirements import PACKAGES, optional, pinned


def lean_image() -> Image:
    """Describe the image: unlocked but fully pinned, on the slim image of the Python that is running.

    Raises
    ------
    MissingExtraError
        If a package that would be pinned is not installed.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    # distro="none": BentoML's own set-up of a Debian image installs compilers and doubles its size.
    image = Image(base_image=f"python:{python}-slim", distro="none", lock_python_packages=False)
    packages = {**pinned(*PACKAGES), **optional()}
    return image.python_packages(*(f"{name}=={version}" for name, version in packages.items()))
