"""Modules that are needed for a moment: what they take of the heap is given back.

Their code lies in flash, where it is soon found again; their functions and names do not.
"""

import sys


def forget(package, *names):
    """Forget modules of a package.

    Args:
        package: the package, a module.
        names: of modules in it; one that was not imported is left alone.
    """
    for name in names:
        if sys.modules.pop(package.__name__ + "." + name, None) is not None and hasattr(package, name):
            delattr(package, name)
