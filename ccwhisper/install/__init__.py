"""Puts coaching into a switch's configuration that is already there, and takes it out again.

`steps` says what is to be written where, `source` finds the place in a file without touching anything else of it,
`manifest` remembers what was written, `folder` writes it whole or not at all. Knows files only: no switch, no service.
"""
