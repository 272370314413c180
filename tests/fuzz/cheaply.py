"""Run a module with passwords that cost nothing to check: `python -m tests.fuzz.cheaply services.delivery.pop3`.

A spoilt sign-in costs as much as a good one, which is as much as can be borne: most of the time went there.
"""

import runpy
import sys
from unittest import mock

from argon2 import PasswordHasher

from mailrecall.directory import passwords

if __name__ == "__main__":
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    sys.argv = sys.argv[1:]
    with (
        mock.patch.object(passwords, "NOBODYS_HASH", cheap.hash("nobody's")),
        mock.patch.object(passwords, "_HASHER", cheap),
    ):
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
