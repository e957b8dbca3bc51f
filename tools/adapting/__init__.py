"""``cicada adapt``: how well a node learns on recordings what is normal, or new words.

What learns is the device's own code (``firmware/app/node/adapt``), on features of the
device's own front ends.
"""
