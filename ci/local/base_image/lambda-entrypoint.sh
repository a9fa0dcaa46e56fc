#!/bin/sh
# The AWS image's contract: the one argument is the handler, such as lambda_function.lambda_handler.
if [ $# -ne 1 ]; then
    echo "lambda-entrypoint.sh: give the handler's name as the only argument, such as lambda_function.lambda_handler" >&2
    exit 142
fi
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then
    echo "lambda-entrypoint.sh: AWS_LAMBDA_RUNTIME_API is not set, and this stand-in of the AWS base image has no Runtime Interface Emulator: name a server of the Lambda Runtime API (HOST:PORT) in that variable" >&2
    exit 1
fi
export _HANDLER="$1"
exec /var/runtime/bootstrap
