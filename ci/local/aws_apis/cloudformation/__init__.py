"""CloudFormation of the local cloud: an engine of our own on moto's endpoint.

moto's own compares unresolved templates, reports no resource of its own, never rolls back and
drops what it does not know. This one makes every resource by the public API of its service.
"""
