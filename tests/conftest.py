"""Fixtures of every folder of tests."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """For work so small that a second thread only waits for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
