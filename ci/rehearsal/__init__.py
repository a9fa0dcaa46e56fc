"""The whole story on one machine: what ``rehearse`` tells.

``story`` tells it: local cloud, engine, infrastructure stack, pushes of a developer, pipelines.
What the pipelines do, ``ci.local.codepipeline`` performs; here is who pushes, where builds are
redirected to, and what the user sees of it.
"""
