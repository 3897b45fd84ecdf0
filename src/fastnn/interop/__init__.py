"""Trained networks from and to other libraries, which are imported only when asked for.

- `torch`: `Network.from_torch`, `Network.to_torch`
- `keras`: `Network.from_keras`

In each, a layer is one small function in a table.
"""
