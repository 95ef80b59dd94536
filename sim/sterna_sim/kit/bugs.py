"""Planted bugs: a bench that can't fail has shown nothing."""

from __future__ import annotations

import inspect
import sys
import types
from typing import TypeVar

from .bench import UnitBench
from .player import CheckError, StallError
from .pysim import run_pysim

__all__ = ["check_planted_bug", "check_planted_bugs", "edited"]

T = TypeVar("T", bound=type)


def edited(unit: T, old: str, new: str) -> T:
    """Return the class as it would be with one piece of its file's text replaced.

    The gateware needs no switches for its bugs, and a text that is no longer there (or is there
    twice) is an error, so that a planted bug can't quietly come to nothing.

    Parameters
    ----------
    unit : type
        A class of the unit's file.
    old, new : str
        Text that occurs once in the file, and what to put in its place.

    Returns
    -------
    type
        The class of the same name, from an edited copy of its module.
    """
    module = sys.modules[unit.__module__]
    source = inspect.getsource(module)
    if source.count(old) != 1:
        raise ValueError(f"{module.__name__} holds {source.count(old)} times, not once: {old!r}")
    copy = types.ModuleType(module.__name__)
    copy.__file__ = module.__file__
    copy.__package__ = module.__package__
    edit = source.replace(old, new)
    # Without dont_inherit this file's own `annotations` import would apply to the copy.
    code = compile(edit, f"<edited {module.__file__}>", "exec", dont_inherit=True)
    exec(code, copy.__dict__)
    return getattr(copy, unit.__name__)


def check_planted_bug(bench: UnitBench, bug: str) -> CheckError:
    """Run the bench against one planted bug; return how it was found.

    Raises
    ------
    AssertionError
        If the bench passes, or only complains of its own stalls.
    """
    for config in bench.bug_configs or bench.configs:
        try:
            run_pysim(bench, config, dut=bench.bugs[bug](bench.configs[config]))
        except StallError:
            raise
        except CheckError as error:
            print(f"planted bug {bug!r} found: {error}")
            return error
    raise AssertionError(f"bench {bench.name} does not find its planted bug {bug!r}")


def check_planted_bugs(bench: UnitBench) -> None:
    """Run the bench against all its planted bugs; each must be found."""
    if not bench.bugs:
        raise AssertionError(f"bench {bench.name} has no planted bug")
    for bug in bench.bugs:
        check_planted_bug(bench, bug)
