"""A machine that hunts: random people at a real stack, random blows at its processes, and a model of what may follow.

`make chaos` runs it at length and reports; `tests/fault/test_chaos.py` runs a little, and has it find a planted bug.
"""
