"""Found before the package of this name, which nobody here needs, in the processes of Ray that the tests start.

Every one of them imports jsonschema, that imports whatever checks formats, and this one builds a grammar for seconds.
"""

raise ImportError("left out")
