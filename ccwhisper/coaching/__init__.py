"""The rules of coaching, pure: no I/O, no clock, no randomness.

`reduce.reduce(state, event, now, rules)` takes one fact or one request and gives the next state and the effects to
carry out. Everything that talks to the world stands outside and imports this package; this package imports only the
standard library's data modules.
"""
