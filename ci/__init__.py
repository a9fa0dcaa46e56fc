"""A portable CI/CD pipeline for AWS Lambda container images."""
