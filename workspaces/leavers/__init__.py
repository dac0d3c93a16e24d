"""Machines of people who are switched off: they rest, are kept for a time, and go to whoever saves what is on them.

A Personal machine is bound to its directory user for ever (AWS has no call that changes UserName), and WorkSpaces has
no call that gives its volumes to another user. So a hand-over changes neither: it keeps the machine, lets the heir
start it and learn how to connect, and the heir signs in with a new password that the directory's administrators set.
"""
