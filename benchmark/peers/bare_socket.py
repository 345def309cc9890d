"""`python -m benchmark.peers.bare_socket PORT`: answers each request with a constant, parsing nothing: the limit of all."""

import selectors
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def serve(port: int) -> None:
    """Answer for ever; each thing received is taken for one request."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port))
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            client = key.fileobj
            assert isinstance(client, socket.socket)  # noqa: S101 -- nothing else is registered
            try:
                received = client.recv(65536)
            except ConnectionError:
                received = b""
            if received:
                client.sendall(ANSWER)
            else:
                selector.unregister(client)
                client.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
