"""The rules of recall, pure: no I/O, no clock, no logging."""
