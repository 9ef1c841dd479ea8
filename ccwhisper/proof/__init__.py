"""Synthetic phones, test tones and a private node: what the demo, the benchmarks and the live tests call with."""
