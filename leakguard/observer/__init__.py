"""The observer looks at the host's memory in a forked copy: census, containers, holder chains, sizes, allocation sites."""

from leakguard.observer.burst import Burst
from leakguard.observer.observer import Observer, prepare
from leakguard.observer.question import Question

__all__ = ["Burst", "Observer", "Question", "prepare"]
