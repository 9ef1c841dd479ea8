"""The scenarios, written once, for every switch: who hears whom, which facts, in which order.

A module here holds the scenarios of one subject. `tests/protocol/test_scenarios_*.py` runs them against the simulator,
`tests/live/test_scenarios_*.py` against FreeSWITCH; the fixtures of those folders bring the switch. What a scenario may
ask of it is in `stage`.

Where the two differ, the simulator is wrong.
"""
