"""The part of qmcp that runs in dom0: from an agent's bytes to the Admin API. Read kernel.py first."""
