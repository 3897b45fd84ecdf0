"""Ops: what the walk calls, one file a kind. Each file ends with its `OpKind`.

To add one: its units and its `OpKind` in a file here, and a layer in `fastnn/layers/` that writes it into a plan.
"""
