"""The command line: one file per verb, the entry that finds it, and what the terminal shows. May import every room.

A verb is a module with a dataclass whose fields are its options (:mod:`vidrobust.cli.options`) and a function ``main``;
its line in :data:`vidrobust.cli.entry.VERBS` says what it is for. Only the module of the verb called is imported.
"""
