"""Deploys the packaged stacks, rolls them back, takes them down, and records what they run.

Pure: ``order`` (which stack before which), ``capabilities``, ``changes`` (what a change set says),
``stateful`` (what must not be replaced), ``states`` (what a stack's state allows). Asking
CloudFormation: ``desk``, ``change_sets``, ``events``. The commands: ``deployment``, ``record``,
``rollback``, ``destruction``; ``command`` runs them and writes the report.
"""
