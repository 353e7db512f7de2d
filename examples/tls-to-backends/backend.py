"""Answers over TLS: `python3 backend.py PORT`, with backend.pem and backend.key beside it."""

import http.server
import pathlib
import ssl
import sys

here = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else pathlib.Path(__file__).parent


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"over {self.connection.version()}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_port = True


server = Server(("127.0.0.1", int(sys.argv[1])), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(here / "backend.pem", here / "backend.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
