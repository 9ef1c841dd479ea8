"""Adapter to FreeSWITCH: bytes to facts, effects to one-line commands."""
