"""Networks beyond dense layers (convolutions, recurrence, GANs), described once, built by each peer in its own words.

layers.py has the description, workloads.py the table, suite.py what is timed, and each *_stack.py a peer; gan.py, with
a *_gan.py for each peer, is about two networks that train each other; targets.py holds what issues 16 to 18 ask for.
"""
