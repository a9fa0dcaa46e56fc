"""Performs pipelines as their template declares them, on this machine.

``deployed`` reads them from the infrastructure stack, ``judgement`` refuses what CodePipeline
would refuse, ``service`` starts executions by the declared rules, ``execution`` performs them stage
by stage. Nothing here decides what a pipeline does: the declaration does.
"""
