"""The HTTP side of the service: tokens in, JSON out. It knows the core and the engine, and no switch."""
