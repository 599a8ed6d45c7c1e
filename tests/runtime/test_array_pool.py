"""Memory that is used again: never while anything of it is held."""

import threading

import numpy as np
import torch

from landseg.runtime import array_pool
from landseg.runtime.array_pool import ArrayPool


def test_memory_is_used_again_once_nobody_holds_it() -> None:
    pool = ArrayPool()
    first = pool.take((3, 50), np.float32)
    place, size = first.ctypes.data, pool.nbytes
    del first
    again = pool.take((40, 3), np.float32)
    assert (again.ctypes.data, pool.nbytes) == (place, size)
    assert again.shape == (40, 3)
    assert again.dtype == np.float32
    assert again.flags.c_contiguous
    assert again.flags.writeable


def test_memory_under_a_view_or_a_tensor_is_not_used_again() -> None:
    pool = ArrayPool()
    held: list[object] = []
    for hold in (lambda x: x[1:], lambda x: x.T, lambda x: torch.from_numpy(x), lambda x: torch.from_numpy(x)[:, 1:]):
        array = pool.take((4, 6), np.float32)
        array[:] = len(held)
        held.append(hold(array))
        del array
    for number, part in enumerate(held):
        assert (np.asarray(part) == number).all()


def test_twin_a_pool_that_forgets_who_holds_its_memory_is_noticed() -> None:
    pool = ArrayPool()
    first = pool.take((4, 6), np.float32)
    first[:] = 1
    held, idle = first[1:], array_pool._IDLE
    del first
    try:
        array_pool._IDLE = idle + 1  # as if one view did not count
        pool.take((4, 6), np.float32)[:] = 2
    finally:
        array_pool._IDLE = idle
    assert not (held == 1).all()


def test_idle_memory_of_another_size_goes_and_large_arrays_are_not_kept() -> None:
    pool = ArrayPool()
    pool.take((1000,), np.uint8)
    pool.take((10,), np.uint8)
    assert pool.nbytes == 10
    pool.take((array_pool.LARGE + 1,), np.uint8)
    assert pool.nbytes == 10
    pool.clear()
    assert pool.nbytes == 0


def test_threads_get_memory_of_their_own() -> None:
    pool, wrong = ArrayPool(), []

    def work(number: int) -> None:
        for _ in range(200):
            array = pool.take((2000,), np.int64)
            array[:] = number
            if not (array == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.nbytes <= 2 * 4 * 16_000  # a thread holds an array until it has the next one
