"""A spool folder, read as if it were a hub: any folder of attempts, also a carried one; nothing in it is touched.

The records go into a hub's own tables in memory, through the hub's own transactions, so that what is shown is what
the hub would show if it had them. `folder` finds the attempts, `frames` reads their segments, `filling` puts both
into the tables, `answers` gives them out where a command expects a hub.
"""
