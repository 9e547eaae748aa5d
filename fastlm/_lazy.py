"""Names of a package that are imported at their first use, so that importing the package costs little."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names(package: dict[str, Any], modules: Mapping[str, str],
          homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package whose globals are `package`; a name that was found stays there.

    modules: public name -> the module that it stands for; homes: public name -> the module that defines it. Any other
    name raises AttributeError.
    """
    def find(name: str) -> Any:
        if name in homes:
            found = getattr(import_module(homes[name]), name)
        elif name in modules:
            found = import_module(modules[name])
        else:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        package[name] = found
        return found

    def listed() -> list[str]:
        return sorted({*package, *homes, *modules})

    return find, listed
