"""The inseq-shaped API: thin delegations over the functional core."""
