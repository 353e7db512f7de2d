"""A gRPC backend without generated code: `python3 server.py PORT`. Messages are plain bytes."""

import sys
from concurrent import futures

import grpc


def say(request, context):
    context.set_trailing_metadata((("served-by", sys.argv[1]),))
    return request.upper()


def talk(requests, context):
    for request in requests:
        yield request.upper()


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers(
    (
        grpc.method_handlers_generic_handler(
            "demo.Echo",
            {"Say": grpc.unary_unary_rpc_method_handler(say), "Talk": grpc.stream_stream_rpc_method_handler(talk)},
        ),
    )
)
if server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}") == 0:
    sys.exit(f"port {sys.argv[1]} is taken")
server.start()
print("ready", flush=True)
server.wait_for_termination()
