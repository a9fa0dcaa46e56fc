"""The local cloud's AWS APIs: a moto server as a daemon, and what moto lacks.

CloudFormation is an engine of our own (``cloudformation/``); all other services are moto's, mended
where the rehearsal would otherwise pass what AWS refuses.
"""
