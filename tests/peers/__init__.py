"""Scripted fault peers for the tests: real sockets, real TLS, in threads of the test process."""
