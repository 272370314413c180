"""Becomes the program it is told to start: `… -m mailrecall.embedded.launch PARENT SIGNAL UID GID PROGRAM [ARGUMENT…]`.

It asks the kernel for a signal when the parent dies, so that a supervisor killed with `kill -9` leaves nobody behind,
and gives up root where a program must not have it. `subprocess` could do both in a `preexec_fn`, but circus keeps that
for itself. UID and GID are `-` where the user stays. Errors go where the output goes: there is one log for both.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process; returns never."""
    parent, death_signal, uid, gid, *program = arguments
    os.dup2(1, 2)
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
        os.umask(0o077)
    if sys.platform == "linux":
        # after the change of user, which would clear it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("The parent ended before this process started.")
    os.execvp(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
