"""Leak tests: repeat a callable, judge it by the rate law, and explain what leaks.

``checker.LeakChecker`` is what the pytest fixture ``leakguard`` gives to a test; nothing here knows pytest.
"""
