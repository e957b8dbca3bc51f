"""The power-cut campaign: every update of the twin is cut at every flash operation, and cut again.

States, not runs. One run of the twin from boot to reset is a *segment*; its log of flash operations, with
their bytes, says what every cut leaves without running anything (:mod:`~cicada.tools.powercut.states`). What
a state leads to depends only on the sectors that are looked at, so a state that agrees with an earlier one
in these has the same future and needs no run (:mod:`~cicada.tools.powercut.futures`). An oracle outside the
firmware reads flash bytes and which slot runs (:mod:`~cicada.tools.powercut.oracle`).
"""
