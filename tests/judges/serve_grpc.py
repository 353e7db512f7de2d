"""A gRPC backend without generated code. `demo.Quiet/Watch` says a word, is silent for as many milliseconds as it was told,
and says another. Prints its port; ends with its input."""

import sys
import time
from concurrent import futures

import grpc


def watch(request, context):
    yield b"one"
    time.sleep(int(request) / 1000)
    yield b"two"


SERVICES = {
    "demo.Quiet": {"Watch": grpc.unary_stream_rpc_method_handler(watch)},
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(*service) for service in SERVICES.items()])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
