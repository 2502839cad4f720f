"""Serving: conservation of device time, homes of the KV, published link need."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.physics import serving

positive = st.floats(1, 1e6)


@given(positive, positive, positive)
def test_home_decides_what_crosses(cached, fresh, output):
    at_decode = serving.transfer_tokens("decode", cached, fresh, output)
    at_prefill = serving.transfer_tokens("prefill", cached, fresh, output)
    assert at_decode[0] + at_decode[1] == pytest.approx(cached + fresh)
    assert at_prefill[0] - at_decode[0] == pytest.approx(cached)
    assert all(part == 0 for part in serving.transfer_tokens("append_on_decode", cached, fresh, output))


@given(st.floats(1e-4, 10), st.floats(0, 10))
def test_sharing_conserves_device_time(decode, prefill):
    share = prefill / (prefill + decode)
    assert serving.shared_pass_time(np.array(decode), np.array(share)) == pytest.approx(decode + prefill)


def test_coefficients_recover_a_linear_pass():
    chunk, prefix = np.array([512.0, 2048.0]), np.array([1e4, 1e5])

    def pass_time(cached):
        return 3e-5 * chunk + 2e-9 * chunk * (cached + chunk / 2)

    per_token, per_area = serving.prefill_coefficients(pass_time(0), pass_time(prefix), chunk, prefix)
    assert per_token == pytest.approx([3e-5, 3e-5])
    assert per_area == pytest.approx([2e-9, 2e-9])


def test_speculation_limits():
    assert serving.speculative_gain(np.array(0), 0.8) == pytest.approx(1)
    assert serving.speculative_gain(np.array(1000), 0.8) == pytest.approx(5)  # 1 / (1 - alpha)


def test_attention_offload_link_of_the_lamina_paper():
    def need(step):
        return serving.offload_bandwidth(
            np.array(8.0), np.array(2 * 8192.0), np.array(300.0), np.array(80.0), np.array(0.2 * step)
        )

    assert need(0.147) == pytest.approx(30e9, rel=0.01)
    assert need(0.090) == pytest.approx(49e9, rel=0.01)


def test_batches_that_alternate_fill_the_waiting_times_of_each_other():
    """One batch waits for everything, three hide messages that take half of a side's time; a fourth adds nothing."""

    def rate(batches, model=4.0, attention=4.0, crossing=2.0):
        return batches / serving.alternation_time(batches, *map(np.array, (model, attention, crossing)))

    assert rate(2) / rate(1) == pytest.approx(2)
    assert rate(3) / rate(2) == pytest.approx(3 * 10 / (2 * 12))
    assert rate(4) == pytest.approx(rate(3)) == pytest.approx(1 / 4)
    assert rate(1, attention=1.0) == pytest.approx(1 / 7)
    assert rate(2, attention=1.0) == pytest.approx(2 / 10)
    assert serving.alternation_time(2, *map(np.array, (4.0, 3.0, 1.5)), np.array(0.5)) == 2 * 4.0 + 2.0
