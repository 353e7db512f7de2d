"""A gRPC backend without generated code, and gRPC's health service. `demo.Quiet/Watch` says a word, is silent for as many
milliseconds as it was told, and says another. Prints its port; ends with its input."""

import sys
import time
from concurrent import futures

import grpc

# By service: SERVING, NOT_SERVING.
HEALTH = {b"": 1, b"demo.Quiet": 1, b"demo.Ill": 2}


def watch(request, context):
    yield b"one"
    time.sleep(int(request) / 1000)
    yield b"two"


def check(request, context):
    # One field: nothing, or its tag, its length and its text.
    status = HEALTH.get(request[2:])
    if status is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([8, status])


SERVICES = {
    "demo.Quiet": {"Watch": grpc.unary_stream_rpc_method_handler(watch)},
    "grpc.health.v1.Health": {"Check": grpc.unary_unary_rpc_method_handler(check)},
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(*service) for service in SERVICES.items()])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
