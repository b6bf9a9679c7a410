"""What a journal tells, for people and for machines: one model (``model``), one module per format (``formats``)."""
