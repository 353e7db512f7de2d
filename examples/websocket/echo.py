"""A WebSocket server that sends back what it hears, in the standard library alone: python3 echo.py PORT"""

import base64
import hashlib
import socketserver
import sys

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        key = headers.get("sec-websocket-key")
        if key is None:
            self.wfile.write(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while frame := self.read_frame():
            first, payload = frame
            if first & 0xF == PING:
                first = first & 0xF0 | PONG
            self.wfile.write(self.frame(first, payload))
            if first & 0xF == CLOSE:
                return

    def read_frame(self):
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length > 125:
            length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
        mask = self.rfile.read(4)
        return head[0], bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))

    @staticmethod
    def frame(first, payload):
        length = len(payload)
        if length < 126:
            return bytes([first, length]) + payload
        if length < 1 << 16:
            return bytes([first, 126]) + length.to_bytes(2, "big") + payload
        return bytes([first, 127]) + length.to_bytes(8, "big") + payload


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Echo) as server:
        print(f"echoing on 127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
