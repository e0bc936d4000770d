"""A model moves to the device that a call names, and back; nobody else sees it there."""

from __future__ import annotations

import threading

import pytest

from am_inseq.errors import UnknownNameError, UnsupportedError
from am_inseq.face import texts as face_texts
from am_inseq.face.loading import load_model
from am_inseq.models import load
from tests.am_inseq.attributing import FEW, face
from tests.tiny.families import build
from tests.tiny.texts import PROMPT


def test_a_model_moves_for_a_call_and_back(monkeypatch):
    model = face("gpt2")
    moved: list[str] = []
    for module in (face_texts, load):
        monkeypatch.setattr(module, "pick_device", lambda name: name)
    monkeypatch.setattr(model.model, "to", moved.append)

    model.attribute(PROMPT, generation_args=FEW, device="cuda:7", show_progress=False)
    with pytest.raises(UnknownNameError):
        model.attribute(PROMPT, attributed_fn="probabilty", device="cuda:7", show_progress=False)
    model.attribute(PROMPT, generation_args=FEW, device="cpu", show_progress=False)

    assert moved == ["cuda:7", "cpu"]


def test_no_other_thread_sees_a_model_that_moved_for_a_call(monkeypatch):
    model = face("gpt2")
    for module in (face_texts, load):
        monkeypatch.setattr(module, "pick_device", lambda name: name)
    held: list[bool] = []

    def try_from_another_thread() -> None:
        free = model.loaded.lock.acquire(blocking=False)
        held.append(not free)
        if free:
            model.loaded.lock.release()

    def to(place: str) -> None:
        other = threading.Thread(target=try_from_another_thread)
        other.start()
        other.join()

    monkeypatch.setattr(model.model, "to", to)

    model.attribute(PROMPT, generation_args=FEW, device="cuda:7", show_progress=False)

    assert held == [True, True]


def test_a_loaded_model_goes_to_the_device_that_load_model_names(monkeypatch):
    network, tokenizer = build("gpt2")
    moved: list[str] = []
    for module in (face_texts, load):
        monkeypatch.setattr(module, "pick_device", lambda name: name)
    monkeypatch.setattr(network, "to", moved.append)

    load_model(network, "saliency", tokenizer=tokenizer, device="cpu")
    load_model(network, "saliency", tokenizer=tokenizer, device="cuda:7")

    assert moved == ["cuda:7"]


def test_a_device_that_is_not_there_is_refused():
    model = face("gpt2")

    with pytest.raises(UnknownNameError, match="no device is named 'cuba'"):
        model.device = "cuba"
    model.device = "cpu"
    assert model.device == "cpu"


def test_a_model_on_several_devices_stays_there(monkeypatch):
    model = face("gpt2")
    monkeypatch.setattr(model.model, "hf_device_map", {"a": 0, "b": 1}, raising=False)

    with pytest.raises(UnsupportedError, match="stays where it is"):
        model.device = "cpu"
