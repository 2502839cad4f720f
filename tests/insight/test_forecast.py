"""Predictions of single passes as programs read them."""

import csv
import io

import pytest

from dse.facts.errors import SpecError
from dse.insight import forecast

POINT = {
    "model": "llama_3_1_70b",
    "device": "h100_sxm",
    "tp": "4",
    "batch": "16",
    "new_tokens": "1",
    "cached_tokens": "4096",
}


def test_a_prediction_has_the_documented_keys():
    made = forecast.predict_rows([POINT], "point")[0]
    documented = {
        "seconds",
        "flop",
        "bytes_moved",
        "oi",
        "cf_request_bytes",
        "cf_device_bytes",
        "weights_bytes",
        "kv_bytes",
    }
    assert documented | {"bound", "fits"} <= made.keys()
    assert made["bound"] in ("compute", "memory", "network", "overhead")
    assert made["oi"] == pytest.approx(made["flop"] / made["bytes_moved"])


def test_weights_and_kv_are_those_of_all_devices():
    made = forecast.predict_rows([POINT], "point")[0]
    assert made["weights_bytes"] == pytest.approx(141e9, rel=0.02)
    assert made["kv_bytes"] == pytest.approx(16 * 4097 * 327680, rel=0.02)
    assert made["cf_device_bytes"] * 4 == pytest.approx(made["weights_bytes"] + made["kv_bytes"], rel=1e-6)
    assert made["cf_request_bytes"] * 16 == pytest.approx(made["cf_device_bytes"] * 4, rel=1e-6)


def test_terms_add_up_to_the_time():
    made = forecast.predict_rows([POINT], "point")[0]
    terms = sum(made[f"{name}_s"] for name in ("compute", "memory", "network", "overhead"))
    assert terms == pytest.approx(made["seconds"])


def test_a_file_keeps_its_rows_and_order(tmp_path):
    path = tmp_path / "points.csv"
    with path.open("w") as stream:
        writer = csv.DictWriter(stream, [*POINT, "mine"])
        writer.writeheader()
        for batch in ("1", "8", "64"):
            writer.writerow({**POINT, "batch": batch, "mine": f"row {batch}"})
    rows, found = forecast.predict_file(path)
    text = list(csv.DictReader(io.StringIO(forecast.with_results(rows, found))))
    assert [row["mine"] for row in text] == ["row 1", "row 8", "row 64"]
    assert float(text[2]["seconds"]) > float(text[0]["seconds"])
    assert text[0]["fits"] in ("true", "false")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("model,device\nllama_3_1_70b,h100_sxm\n", "missing"),
        ("", "no rows"),
        ("model,device,tp,batch,new_tokens,cached_tokens\nlama_3_1_70b,h100_sxm,4,16,1,0\n", "lama_3_1_70b"),
        ("model,device,tp,batch,new_tokens,cached_tokens\nllama_3_1_70b,h100_sxm,four,16,1,0\n", "four"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, content, word):
    path = tmp_path / "points.csv"
    path.write_text(content)
    with pytest.raises(SpecError, match=word):
        forecast.predict_file(path)
