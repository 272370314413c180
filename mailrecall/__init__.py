"""The library the services share: the pure domain, the stores, settings and wiring."""
