"""The observer looks at the host's memory in a forked copy: census, containers, holder chains, sizes, allocation sites."""

from leakguard.observer.allocations import Burst
from leakguard.observer.explain import prepare
from leakguard.observer.observer import Observer
from leakguard.observer.question import Question

__all__ = ["Burst", "Observer", "Question", "prepare"]
