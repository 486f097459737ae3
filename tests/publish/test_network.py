"""The ONNX file against the network it was made from."""

import numpy as np
import onnxruntime
import pytest
import torch
from support import VOC

from lecturekit.datasets.photos import PHOTOS, load_photo, photo
from lecturekit.evidence import cam
from lecturekit.models import Classifier, load_classifier
from lecturekit.publish.network import class_map_network


@pytest.fixture(scope="module")
def model():
    return load_classifier(device="cpu")


def session(model, bits):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(class_map_network(model, bits), options)


@pytest.fixture(scope="module")
def half(model):
    return session(model, 16)


def both(model, network, image, size):
    """Maps of all classes from the file and from the network, and the logits of each."""
    (maps,) = network.run(None, {"pixels": model.view([image], size)[0]})
    found = cam(model, model.preprocess([image], size), "all")
    logits = maps[0].mean((1, 2)) + model.network.classifier.bias.detach().numpy()
    return maps[0], found.maps[0].numpy(), logits, found.logits[0].numpy()


def test_with_all_bits_the_maps_are_those_of_cam(model, one_thread):
    network = session(model, 32)
    for size in (224, 160):
        maps, wanted, logits, wanted_logits = both(model, network, photo("chelsea"), size)
        np.testing.assert_allclose(maps, wanted, atol=2e-4)
        np.testing.assert_allclose(logits, wanted_logits, atol=1e-4)


def test_height_and_width_are_free(model, one_thread):
    """Also where the padding of a convolution differs from that of even sizes."""
    image = photo("coffee")[:75, :101]
    (maps,) = session(model, 32).run(None, {"pixels": image})
    pixels = ((torch.from_numpy(image).float() - 127) / 128).permute(2, 0, 1)[None]
    np.testing.assert_allclose(maps[0], cam(model, pixels, "all").maps[0], atol=2e-4)


def hold(model, network, images, sizes=(224, 448)):
    for n, image in enumerate(images):
        for size in sizes:
            maps, wanted, logits, wanted_logits = both(model, network, image, size)
            top = int(wanted_logits.argmax())
            assert logits.argmax() == top, (n, size)
            assert np.corrcoef(maps[top].ravel(), wanted[top].ravel())[0, 1] >= 0.9995, (n, size)
            assert np.corrcoef(maps.ravel(), wanted.ravel())[0, 1] >= 0.9995, (n, size)


def test_with_16_bits_the_top_class_and_the_maps_hold(model, half, one_thread):
    hold(model, half, [photo("coffee"), photo("rocket")], [224])
    hold(model, half, [photo("astronaut")], [448])


@pytest.mark.slow
def test_with_16_bits_the_top_class_and_the_maps_hold_on_many_photographs(model, half):
    hold(model, half, [photo(name) for name in PHOTOS])
    if not VOC.is_dir():
        pytest.skip(f"no photographs in {VOC}")
    files = sorted((VOC / "JPEGImages").glob("*.jpg"))
    hold(model, half, [load_photo(path) for path in files[:: len(files) // 16]])


def test_another_network_is_refused(model):
    other = Classifier(torch.nn.Linear(3, 2), ["a", "b"])
    with pytest.raises(TypeError, match="model must hold an EfficientNetLite0, got Linear"):
        class_map_network(other)
    with pytest.raises(ValueError, match="bits"):
        class_map_network(model, 8)
