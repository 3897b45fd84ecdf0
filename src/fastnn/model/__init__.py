"""The network: parameters over a plan, and what looks into it or exchanges it."""
