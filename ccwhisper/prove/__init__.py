"""`ccwhisper prove`: what a coached call does on an administrator's own switch, measured in synthetic phones.

site      where it is, and who the three phones are;   node     a private one from `freeswitch-conf/`
own       the legs that the proof placed, and the only commands that it gives to any leg
calls     placing synthetic calls;                     script   what is done with them, part by part
findings  what can be wrong, each with an id, what it means and how it is mended (judge: which of them it is)
record    what was found, as plain data;               page     the same as one HTML file
legs      what the switch says of the call's legs
speech    frame by frame, and how late;                tapes    the recordings (recording: reading one)
measure   levels and spectra over time;                pictures of them
config    the site of the `[prove]` section
"""
