import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from tools.notebooks import Channel, Manager


def test_an_answer_that_comes_while_a_message_is_sent_is_not_missed():
    """The kernel answers, and before the event loop sees it the client sends something else."""

    async def conversation():
        with zmq.asyncio.Context() as context:
            session = Session(key=b"a key")
            socket = context.socket(zmq.DEALER)
            kernel = context.socket(zmq.ROUTER, socket_class=zmq.Socket)
            port = kernel.bind_to_random_port("tcp://127.0.0.1")
            socket.connect(f"tcp://127.0.0.1:{port}")
            channel = Channel(socket, session)
            channel.send(session.msg("execute_request"))
            who, *_ = kernel.recv_multipart()
            answer = asyncio.ensure_future(channel.get_msg())
            await asyncio.sleep(0.1)
            session.send(kernel, "execute_reply", ident=who)
            time.sleep(0.1)  # the loop does not run while the answer arrives
            channel.send(session.msg("comm_msg"))
            try:
                return (await asyncio.wait_for(answer, timeout=5))["msg_type"]
            finally:
                kernel.close(0)
                socket.close(0)

    with ThreadPoolExecutor() as apart:  # from an event loop that another test has left running
        assert apart.submit(lambda: asyncio.run(conversation())).result() == "execute_reply"


def test_labs_are_executed_over_such_a_channel():
    client = Manager().client()
    assert client.shell_channel_class is Channel
