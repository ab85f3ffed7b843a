"""File permissions that bind the tests, also where they run as root."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PERMISSIONS_BIND", "bound_by_permissions"]

_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
_VERSION = 0x20080522  # of the two structures of capset(2): a header, and two times (effective, permitted, inheritable)
_IGNORE_PERMISSIONS = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root passes every door


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Root lays down the rights to pass over permissions, in this thread, and takes them up again. Others have none."""
    if not _ROOT:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    rights = (ctypes.c_uint32 * 6)()
    if libc.capget(header, rights):
        raise OSError(ctypes.get_errno(), "capget")
    bound = (ctypes.c_uint32 * 6)(*rights)
    bound[0] &= ~_IGNORE_PERMISSIONS
    if libc.capset(header, bound):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        if libc.capset(header, rights):
            raise OSError(ctypes.get_errno(), "capset")


# whether a test of permissions can fail here: root elsewhere than on Linux reads and writes everything
PERMISSIONS_BIND = os.name == "posix" and (not _ROOT or sys.platform == "linux")
