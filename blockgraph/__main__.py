"""`python -m blockgraph` is the command `blockgraph`."""

from blockgraph.cli.main import main

main()
