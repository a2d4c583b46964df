"""What a message says: facts in, words for each segment and channel out.

`facts` is what is true, `render.compose` turns it into renderings, `slots` fills in the person at
the last moment, `lint` checks a set of renderings against its facts. The words themselves are the
`.j2` files: `email/smb.j2` is what a small customer reads, from its first line to its last.
"""
