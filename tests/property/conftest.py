"""How properties are searched for."""

from hypothesis import settings

# A shared machine is slow now and then: the time of one example says nothing about the code.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")
