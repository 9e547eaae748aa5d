"""Names of a package that are imported when they are first used, so that importing the package costs little."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def names(package: dict[str, Any], modules: Sequence[str],
          homes: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose globals are `package`. What was found stays in `package`.

    modules: offered under the last part of their names; homes[name]: the module that has `name`.
    Other names raise AttributeError.
    """
    offered = {module.rpartition(".")[2]: module for module in modules}

    def find(name: str) -> Any:
        if name in homes:
            found = getattr(import_module(homes[name]), name)
        elif name in offered:
            found = import_module(offered[name])
        else:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        package[name] = found
        return found

    def listed() -> list[str]:
        return sorted({*package, *homes, *offered})

    return find, listed
