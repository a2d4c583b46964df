from socket import create_connection

from dispatcher.cli.house import listening


def test_of_two_who_want_a_port_at_once_each_has_one_where_it_is_answered() -> None:
    with listening(0) as free:
        wanted = free.getsockname()[1]
    with listening(wanted) as first, listening(wanted) as second:
        assert first.getsockname()[1] == wanted
        for held in (first, second):
            with create_connection(held.getsockname()), held.accept()[0]:
                pass
        assert second.getsockname()[1] != wanted
