"""What lets `import fastlm` work in a checkout whose `fastlm/` is not compiled, after a plain `pip install .`.

Python puts the current folder first on sys.path, so the uncompiled sources would hide the installed package.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES


def _compiled(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, "_core" + suffix)) for suffix in EXTENSION_SUFFIXES)


def redirect(package_path: list[str]) -> None:
    """Point a package's `__path__` at the installed fastlm where the folder it names has no compiled `_core`.

    `package_path` is changed in place, so that all modules of the package come from the installed one.
    Raises ImportError where no compiled fastlm is on sys.path.
    """
    if _compiled(package_path[0]):
        return
    for entry in sys.path:
        installed = os.path.join(os.path.abspath(entry), "fastlm")
        if _compiled(installed):
            package_path[:] = [installed]
            return
    raise ImportError("fastlm is not compiled here: pip install . first")
