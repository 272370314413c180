"""Whatever comes in: each front is thrown at in bulk, with mutations of what real clients say.

`make fuzz FUZZ_INPUTS=100000 FUZZ_SEED=1` for a long run; each input is decided by the seed and its number.
"""
