"""Asks the echo through Pointsman: `python3 client.py [HOST:PORT]`."""

import queue
import sys

import grpc

target = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080"
with grpc.insecure_channel(target) as channel:
    # One call, and what the backend said at its end.
    answer, call = channel.unary_unary("/demo.Echo/Say").with_call(b"hello", timeout=10)
    print(answer.decode(), dict(call.trailing_metadata()))

    # A conversation: each message is answered before the next is sent, so nothing on the way may hold it back.
    messages = queue.Queue()
    answers = channel.stream_stream("/demo.Echo/Talk")(iter(messages.get, None), timeout=10)
    for word in [b"one", b"two", b"three"]:
        messages.put(word)
        print(next(answers).decode())
    messages.put(None)
    print("the end" if next(answers, None) is None else "more?")

    # An error of the backend's, and none of its own.
    try:
        channel.unary_unary("/demo.Echo/Nothing")(b"", timeout=10)
    except grpc.RpcError as error:
        print(error.code().name)
