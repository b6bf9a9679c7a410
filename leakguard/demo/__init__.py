"""The demo: the story's game server under a real server and real load, without leakguard and with it, measured in one run.

Nothing in here knows what leaks: the load is sent, memory is read from outside, and what is printed about the leak is what
leakguard wrote into its journal.
"""
