"""Replacing a worker at its memory ceiling without losing a request.

``ceiling`` decides, ``relief`` tries what is cheaper, ``servers`` looks who runs this process, ``turn`` lets one worker go
at a time, ``handover`` leads one leaving worker through its steps, ``recycler`` conducts them for the guard.
"""
