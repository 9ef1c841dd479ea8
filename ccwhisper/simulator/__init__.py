"""A stand-in for the switch, for trying and testing: it speaks the Event Socket on a real port and mixes audio frame by
frame, with the traps of the real one. It is no switch, says so wherever it shows, and is never for production.

It shares no code with the rest of ccwhisper, so that a mistake there is not repeated here. What it does was measured on
FreeSWITCH 1.11, or read in its source; each rule names which.

    clock       time, real or by hand
    media       who hears whom: a history of legs, asked when somebody wants to know;   sound   as PCM
    legs        a leg and its headers        state    bridges, applications, hang-up
    bugs        eavesdrop and its gate, displace, recording        tasks    scheduled commands
    parties     phones and their owners      callcenter    one queue      stories    calls by themselves
    api         commands that do something   queries  commands that ask   control    ``api sim …``
    wire        the protocol                 server   the port
"""

from ccwhisper.simulator.parties import Impossible
from ccwhisper.simulator.server import Simulator, World

__all__ = ["Impossible", "Simulator", "World"]
