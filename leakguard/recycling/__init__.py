"""Replacing a worker at its memory ceiling without losing a request.

``gauge`` reads, ``ceiling`` decides, ``relief`` tries what is cheaper, ``servers`` looks who runs this process, ``turn`` lets
one worker go at a time, ``handover`` leads one leaving worker through its steps, ``farewell`` one that is told to leave,
``recycler`` conducts them for the guard.
"""
